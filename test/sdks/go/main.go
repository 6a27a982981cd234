// The official Dapr Go SDK, unmodified, as client (which speaks gRPC) and as app server over the protocol that PROTOCOL
// names.

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	dapr "github.com/dapr/go-sdk/client"
	"github.com/dapr/go-sdk/service/common"
)

const store = "statestore"

var (
	client dapr.Client
	heard  = &record{texts: map[string][]string{}}
)

func main() {
	log.SetOutput(os.Stderr)
	protocol := os.Getenv("PROTOCOL")
	service, err := newApp(protocol, os.Getenv("APP_PORT"), heard)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Print(service.Start()) }()
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	if client, err = dapr.NewClient(); err != nil {
		log.Fatal(err)
	}
	if err = client.Wait(context.Background(), limit); err != nil {
		log.Fatal(err)
	}
	stateChecks()
	pubsubChecks()
	streamChecks()
	otherChecks(protocol)
	fmt.Println("done")
}

func value(ctx context.Context, key string) string {
	item, err := client.GetState(ctx, store, key, nil)
	if err != nil {
		return err.Error()
	}
	return string(item.Value)
}

func stateChecks() {
	check("state: save, get, delete", "", func(ctx context.Context) error {
		return first(
			client.SaveState(ctx, store, "one", []byte("\x00\xff\x7f"), nil),
			equal(value(ctx, "one"), "\x00\xff\x7f"),
			client.DeleteState(ctx, store, "one", nil),
			equal(value(ctx, "one"), ""),
			equal(value(ctx, "never"), ""),
		)
	})
	check("state: bulk save, get and delete", "", func(ctx context.Context) error {
		var items []*dapr.SetStateItem
		var keys []string
		for n := range 20 {
			keys = append(keys, fmt.Sprint("bulk-", n))
			items = append(items, &dapr.SetStateItem{Key: keys[n], Value: []byte(fmt.Sprint(n))})
		}
		err := client.SaveBulkState(ctx, store, items...)
		found, err2 := client.GetBulkState(ctx, store, keys, nil, 4)
		for _, item := range found {
			if item.Key != "bulk-"+string(item.Value) {
				return fmt.Errorf("%s has %s", item.Key, item.Value)
			}
		}
		return first(err, err2, equal(len(found), 20),
			client.DeleteBulkState(ctx, store, keys, nil), equal(value(ctx, "bulk-7"), ""))
	})
	check("state: etag", "", func(ctx context.Context) error {
		options := &dapr.StateOptions{Concurrency: dapr.StateConcurrencyFirstWrite}
		firstWrite := dapr.WithConcurrency(dapr.StateConcurrencyFirstWrite)
		if err := client.SaveState(ctx, store, "tagged", []byte("a"), nil); err != nil {
			return err
		}
		item, err := client.GetState(ctx, store, "tagged", nil)
		if err != nil {
			return err
		}
		stale := &dapr.ETag{Value: item.Etag}
		err = first(
			client.SaveStateWithETag(ctx, store, "tagged", []byte("b"), item.Etag, nil, firstWrite),
			fails(client.SaveStateWithETag(ctx, store, "tagged", []byte("c"), item.Etag, nil, firstWrite), "etag"),
			fails(client.DeleteStateWithETag(ctx, store, "tagged", stale, nil, options), "etag"),
		)
		if err != nil {
			return err
		}
		item, err = client.GetState(ctx, store, "tagged", nil)
		if err != nil {
			return err
		}
		current := &dapr.ETag{Value: item.Etag}
		return first(equal(string(item.Value), "b"),
			client.DeleteStateWithETag(ctx, store, "tagged", current, nil, options),
			equal(value(ctx, "tagged"), ""))
	})
	check("state: time to live", "", func(ctx context.Context) error {
		meta := map[string]string{"ttlInSeconds": "1"}
		return first(
			client.SaveState(ctx, store, "brief", []byte("here"), meta),
			equal(value(ctx, "brief"), "here"),
			until(ctx, "its end", func() bool { return value(ctx, "brief") == "" }),
		)
	})
	check("state: transaction", "", func(ctx context.Context) error {
		operations := []*dapr.StateOperation{
			{Type: dapr.StateOperationTypeUpsert, Item: &dapr.SetStateItem{Key: "new", Value: []byte("3")}},
			{Type: dapr.StateOperationTypeDelete, Item: &dapr.SetStateItem{Key: "old"}},
		}
		return first(
			client.SaveState(ctx, store, "old", []byte("x"), nil),
			client.ExecuteStateTransaction(ctx, store, nil, operations),
			equal(value(ctx, "new"), "3"),
			equal(value(ctx, "old"), ""),
		)
	})
	check("state: errors", "", func(ctx context.Context) error {
		_, err := client.GetState(ctx, "nowhere", "a", nil)
		return first(fails(err, "nowhere"), fails(client.SaveState(ctx, "nowhere", "a", nil, nil), "nowhere"))
	})
}

func publish(ctx context.Context, topic, data string) error {
	json := dapr.PublishEventWithContentType("application/json")
	return client.PublishEvent(ctx, "pubsub", topic, data, json)
}

// cloudEvent is bytes because the SDK says of anything else that it is plain JSON.
func cloudEvent(kind string) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%[1]s","source":"sdk","type":"%[1]s",`+
		`"datacontenttype":"application/json","data":{"kind":"%[1]s"}}`, kind)
}

func pubsubChecks() {
	check("publish and subscribe", "", func(ctx context.Context) error {
		return first(
			publish(ctx, "orders", `{"order":1}`),
			until(ctx, "the order", heard.has("orders", 1)),
			equal(heard.get("orders"), []string{`{"order":1}`}),
			fails(client.PublishEvent(ctx, "nowhere", "orders", "a"), "nowhere"),
		)
	})
	check("publish a cloud event", "", func(ctx context.Context) error {
		return first(
			client.PublishEventfromCustomContent(ctx, "pubsub", "orders", map[string]int{"order": 2}),
			until(ctx, "the order", heard.has("orders", 2)),
			client.PublishEvent(ctx, "pubsub", "orders", cloudEvent("own"),
				dapr.PublishEventWithContentType("application/cloudevents+json")),
			until(ctx, "the event", heard.has("orders", 3)),
			equal(heard.get("orders")[1:], []string{`{"order":2}`, `{"kind":"own"}`}),
		)
	})
	check("publish and subscribe raw", "", func(ctx context.Context) error {
		return first(
			client.PublishEvent(ctx, "pubsub", "raw", "celsius", dapr.PublishEventWithRawPayload()),
			until(ctx, "the reading", heard.has("raw", 1)),
			equal(heard.get("raw"), []string{"celsius"}),
		)
	})
	check("publish in bulk", "", func(ctx context.Context) error {
		var events []any
		for n := range 10 {
			events = append(events, map[string]int{"n": n})
		}
		answer := client.PublishEvents(ctx, "pubsub", "many", events)
		err := first(answer.Error, until(ctx, "all of them", heard.has("many", 10)))
		found := heard.get("many")
		sort.Strings(found)
		return first(err, equal(found[9], `{"n":9}`), equal(len(found), 10))
	})
	check("subscribe with rules", "", func(ctx context.Context) error {
		kind := dapr.PublishEventWithContentType("application/cloudevents+json")
		return first(
			client.PublishEvent(ctx, "pubsub", "routed", cloudEvent("big"), kind),
			client.PublishEvent(ctx, "pubsub", "routed", cloudEvent("other"), kind),
			until(ctx, "the big one", heard.has("big", 1)),
			until(ctx, "the other", heard.has("small", 1)),
			equal(heard.get("big"), []string{`{"kind":"big"}`}),
		)
	})
	check("retry and dead letter", "", func(ctx context.Context) error {
		return first(
			publish(ctx, "retried", "1"),
			publish(ctx, "dropped", "2"),
			until(ctx, "the third try", heard.has("retried", 3)),
			until(ctx, "the dead letter", heard.has("dead", 1)),
		)
	})
}

func streamChecks() {
	check("subscribe by a stream", "", func(ctx context.Context) error {
		dead := "dead"
		options := dapr.SubscriptionOptions{PubsubName: "pubsub", Topic: "streamed", DeadLetterTopic: &dead}
		subscription, err := client.Subscribe(ctx, options)
		if err != nil {
			return err
		}
		before := len(heard.get("dead"))
		for n := range 3 {
			if err := publish(ctx, "streamed", fmt.Sprint(n)); err != nil {
				return err
			}
			message, err := subscription.Receive()
			if err != nil {
				return err
			}
			answer := message.Success
			if n == 1 {
				answer = message.Drop
			}
			if err := first(equal(string(message.RawData), n), answer()); err != nil {
				return err
			}
		}
		return first(until(ctx, "the dead letter", heard.has("dead", before+1)), subscription.Close())
	})
	check("subscribe by a stream with a handler", "", func(ctx context.Context) error {
		options := dapr.SubscriptionOptions{PubsubName: "pubsub", Topic: "handled"}
		stop, err := client.SubscribeWithHandler(ctx, options,
			func(event *common.TopicEvent) common.SubscriptionResponseStatus {
				if heard.add("handled", string(event.RawData)) < 2 {
					return common.SubscriptionResponseStatusRetry
				}
				return common.SubscriptionResponseStatusSuccess
			})
		if err != nil {
			return err
		}
		return first(publish(ctx, "handled", `"hello"`), until(ctx, "it twice", heard.has("handled", 2)), stop())
	})
}

func otherChecks(protocol string) {
	check("invoke", "", func(ctx context.Context) error {
		content := &dapr.DataContent{ContentType: "application/json", Data: []byte(`{"n":21}`)}
		twice, err := client.InvokeMethodWithContent(ctx, "sdk-app", "double", "post", content)
		hello, err2 := client.InvokeMethod(ctx, "sdk-app", "hello?who=me", "get")
		_, err3 := client.InvokeMethod(ctx, "sdk-app", "fail", "post")
		_, err4 := client.InvokeMethod(ctx, "sdk-app", "not-there", "get")
		_, err5 := client.InvokeMethod(ctx, "nobody", "hello", "get")
		return first(err, err2, equal(string(twice), `{"twice":42}`), equal(string(hello), "GET who=me"),
			fails(err3, ""), fails(err4, ""), fails(err5, "nobody"))
	})
	check("bindings: output", "", func(ctx context.Context) error {
		invoke := func(operation, data string) (string, error) {
			out, err := client.InvokeBinding(ctx, &dapr.InvokeBindingRequest{
				Name: "files", Operation: operation, Data: []byte(data),
				Metadata: map[string]string{"fileName": "go-" + protocol + ".txt"},
			})
			if err != nil || out == nil {
				return "", err
			}
			return string(out.Data), nil
		}
		_, err := invoke("create", "hello")
		text, err2 := invoke("get", "")
		_, err3 := invoke("delete", "")
		_, err4 := invoke("get", "")
		return first(err, err2, err3, equal(text, "hello"), fails(err4, ""))
	})
	check("bindings: input", "", func(ctx context.Context) error {
		return until(ctx, "a tick", heard.has("tick", 1))
	})
	check("bindings: output comes back as input", "mqtt", func(ctx context.Context) error {
		report := &dapr.InvokeBindingRequest{Name: "reports", Operation: "create", Data: []byte(`{"report":"well"}`)}
		return first(client.InvokeOutputBinding(ctx, report),
			until(ctx, "the report", heard.has("reports", 1)),
			equal(heard.get("reports"), []string{`{"report":"well"}`}))
	})
	check("secrets", "", func(ctx context.Context) error {
		env, err := client.GetSecret(ctx, "env-secrets", "SDK_SECRET", nil)
		file, err2 := client.GetSecret(ctx, "file-secrets", "nested:key", nil)
		all, err3 := client.GetBulkSecret(ctx, "file-secrets", nil)
		_, err4 := client.GetSecret(ctx, "nowhere", "a", nil)
		return first(err, err2, err3, equal(env["SDK_SECRET"], "shh"), equal(file["nested:key"], "deep"),
			equal(all["flat"]["flat"], "shallow"), fails(err4, "nowhere"))
	})
	check("configuration: get and subscribe", "configuration", func(ctx context.Context) error {
		item, err := client.GetConfigurationItem(ctx, "config", "limit")
		if err != nil {
			return err
		}
		var lock sync.Mutex
		seen := map[string]bool{}
		changed := func(_ string, items map[string]*dapr.ConfigurationItem) {
			lock.Lock()
			defer lock.Unlock()
			for _, item := range items {
				seen[item.Value] = true
			}
		}
		id, err := client.SubscribeConfigurationItems(ctx, "config", []string{"ticker"}, changed)
		return first(equal(item.Value, "10"), err, until(ctx, "two changes", func() bool {
			lock.Lock()
			defer lock.Unlock()
			return len(seen) >= 2
		}), client.UnsubscribeConfigurationItems(ctx, "config", id))
	})
	check("lock", "lock", lockCheck)
	for _, pair := range [][2]string{{"rsa.pem", "RSA"}, {"aes.key", "AES"}} {
		check("cryptography: "+pair[1], "", func(ctx context.Context) error {
			plain := make([]byte, 1_000_000)
			_, _ = rand.Read(plain)
			return first(sealAndOpen(ctx, []byte("hello"), pair, ""), sealAndOpen(ctx, plain, pair, "chacha20-poly1305"))
		})
	}
	check("metadata", "", func(ctx context.Context) error {
		err := client.SetMetadata(ctx, "colour", "blue")
		found, err2 := client.GetMetadata(ctx)
		if err2 != nil {
			return err2
		}
		var names []string
		for _, component := range found.RegisteredComponents {
			names = append(names, component.Name)
		}
		return first(err, equal(found.ID, "sdk-app"), equal(found.ExtendedMetadata["colour"], "blue"),
			equal(strings.Contains(strings.Join(names, " "), store), true),
			equal(len(found.Subscriptions) >= 7, true))
	})
}

func lockCheck(ctx context.Context) error {
	try := func(owner string) any {
		request := &dapr.LockRequest{ResourceID: "door", LockOwner: owner, ExpiryInSeconds: 30}
		answer, err := client.TryLockAlpha1(ctx, "locks", request)
		if err != nil {
			return err
		}
		return answer.Success
	}
	unlock := func(owner string) any {
		answer, err := client.UnlockAlpha1(ctx, "locks", &dapr.UnlockRequest{ResourceID: "door", LockOwner: owner})
		if err != nil {
			return err
		}
		return answer.StatusCode
	}
	return first(equal(try("me"), true), equal(try("you"), false),
		equal(unlock("you"), 2), equal(unlock("me"), 0), equal(unlock("me"), 1))
}

func sealAndOpen(ctx context.Context, plain []byte, pair [2]string, cipher string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	sealing, err := client.Encrypt(ctx, bytes.NewReader(plain), dapr.EncryptOptions{
		ComponentName: "crypto", KeyName: pair[0], KeyWrapAlgorithm: pair[1], DataEncryptionCipher: cipher,
	})
	if err != nil {
		return err
	}
	sealed, err := io.ReadAll(sealing)
	if err != nil {
		return err
	}
	opening, err := client.Decrypt(ctx, bytes.NewReader(sealed), dapr.DecryptOptions{ComponentName: "crypto"})
	if err != nil {
		return err
	}
	opened, err := io.ReadAll(opening)
	return first(err, equal(bytes.Equal(opened, plain), true), equal(bytes.Contains(sealed, plain), false))
}
