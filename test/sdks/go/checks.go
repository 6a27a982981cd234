// What every program of test/sdks says about itself: one line per check, and `done` when it came to its end.

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const limit = 20 * time.Second

// check runs one check; block leaves it out where the sidecar has no component for it.
func check(name, block string, work func(ctx context.Context) error) {
	if block != "" && strings.Contains(os.Getenv("SDK_WITHOUT"), block) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := work(ctx); err != nil {
		fmt.Printf("not ok %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Printf("ok %s\n", name)
}

// until waits for something to become true.
func until(ctx context.Context, what string, ask func() bool) error {
	for !ask() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// equal compares by how the values are printed.
func equal(found, expected any) error {
	if a, b := fmt.Sprintf("%v", found), fmt.Sprintf("%v", expected); a != b {
		return fmt.Errorf("found %s, expected %s", a, b)
	}
	return nil
}

// fails is the error of what must fail, without it.
func fails(err error, part string) error {
	if err == nil {
		return fmt.Errorf("no error with %q", part)
	}
	if !strings.Contains(strings.ToLower(err.Error()), part) {
		return fmt.Errorf("the error lacks %q: %w", part, err)
	}
	return nil
}

// first is the first error of several steps.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// record is what the app heard, by topic or binding.
type record struct {
	lock  sync.Mutex
	texts map[string][]string
}

func (r *record) add(name, text string) int {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.texts[name] = append(r.texts[name], text)
	return len(r.texts[name])
}

func (r *record) get(name string) []string {
	r.lock.Lock()
	defer r.lock.Unlock()
	return append([]string{}, r.texts[name]...)
}

func (r *record) has(name string, count int) func() bool {
	return func() bool { return len(r.get(name)) >= count }
}
