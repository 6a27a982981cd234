// The app side of the Go program: what the sidecar delivers to it, over HTTP or gRPC.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dapr/go-sdk/service/common"
	grpcservice "github.com/dapr/go-sdk/service/grpc"
	httpservice "github.com/dapr/go-sdk/service/http"
)

func newService(protocol, port string) (common.Service, error) {
	if protocol == "http" {
		return httpservice.NewService("127.0.0.1:" + port), nil
	}
	return grpcservice.NewService("127.0.0.1:" + port)
}

// subscriptions of the app; a topic's handler records the data.
func subscribe(service common.Service, heard *record) error {
	take := func(name string) common.TopicEventHandler {
		return func(_ context.Context, event *common.TopicEvent) (bool, error) {
			heard.add(name, string(event.RawData))
			return false, nil
		}
	}
	topic := func(name string) *common.Subscription {
		return &common.Subscription{PubsubName: "pubsub", Topic: name, Route: "/on-" + name}
	}
	raw, dropped := topic("raw"), topic("dropped")
	raw.Metadata = map[string]string{"rawPayload": "true"}
	dropped.DeadLetterTopic = "dead"
	big := &common.Subscription{
		PubsubName: "pubsub", Topic: "routed", Route: "/big", Match: `event.type == "big"`, Priority: 1,
	}
	return first(
		service.AddTopicEventHandler(topic("orders"), take("orders")),
		service.AddTopicEventHandler(topic("many"), take("many")),
		service.AddTopicEventHandler(topic("dead"), take("dead")),
		service.AddTopicEventHandler(raw, take("raw")),
		service.AddTopicEventHandler(topic("routed"), take("small")),
		service.AddTopicEventHandler(big, take("big")),
		service.AddTopicEventHandler(topic("retried"), func(context.Context, *common.TopicEvent) (bool, error) {
			if heard.add("retried", "") < 3 {
				return true, errors.New("not yet")
			}
			return false, nil
		}),
		service.AddTopicEventHandler(dropped, func(context.Context, *common.TopicEvent) (bool, error) {
			return false, errors.New("never")
		}),
	)
}

// newApp is the app with everything that the checks ask for, not started yet.
func newApp(protocol, port string, heard *record) (common.Service, error) {
	service, err := newService(protocol, port)
	if err != nil {
		return nil, err
	}
	double := func(_ context.Context, in *common.InvocationEvent) (*common.Content, error) {
		var body struct{ N int }
		if err := json.Unmarshal(in.Data, &body); err != nil {
			return nil, err
		}
		return &common.Content{
			Data:        []byte(fmt.Sprintf(`{"twice":%d}`, 2*body.N)),
			ContentType: "application/json",
		}, nil
	}
	hello := func(_ context.Context, in *common.InvocationEvent) (*common.Content, error) {
		return &common.Content{Data: []byte(in.Verb + " " + in.QueryString), ContentType: "text/plain"}, nil
	}
	fail := func(context.Context, *common.InvocationEvent) (*common.Content, error) {
		return nil, errors.New("on purpose")
	}
	take := func(name string) common.BindingInvocationHandler {
		return func(_ context.Context, in *common.BindingEvent) ([]byte, error) {
			heard.add(name, string(in.Data))
			return nil, nil
		}
	}
	return service, first(
		subscribe(service, heard),
		service.AddServiceInvocationHandler("double", double),
		service.AddServiceInvocationHandler("hello", hello),
		service.AddServiceInvocationHandler("fail", fail),
		service.AddBindingInvocationHandler("tick", take("tick")),
		service.AddBindingInvocationHandler("reports", take("reports")),
		service.AddHealthCheckHandler("healthz", func(context.Context) error { return nil }),
	)
}
