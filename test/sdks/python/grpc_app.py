"""The app over gRPC: the SDK's extension for it."""

import json
import threading

from dapr.ext.grpc import App, InvokeMethodResponse, Rule, TopicEventResponse


def start(port, heard):
    """Serves in a thread of its own."""
    app = App()

    def listen(topic):
        @app.subscribe(pubsub_name='pubsub', topic=topic)
        def take(event):
            heard[topic].append(json.loads(event.Data()))

    for topic in ('orders', 'many', 'dead'):
        listen(topic)

    @app.subscribe(pubsub_name='pubsub', topic='raw', metadata={'rawPayload': 'true'})
    def raw(event):
        heard['raw'].append(event.Data())

    @app.subscribe(pubsub_name='pubsub', topic='routed', rule=Rule('event.type == "big"', 1))
    def big(event):
        heard['routed'].append('big')

    @app.subscribe(pubsub_name='pubsub', topic='routed', rule=Rule('event.type == "small"', 2))
    def small(event):
        heard['routed'].append('small')

    @app.subscribe(pubsub_name='pubsub', topic='retried')
    def retried(event):
        heard['retried'].append(event.Data())
        return TopicEventResponse('retry' if len(heard['retried']) < 3 else 'success')

    @app.subscribe(pubsub_name='pubsub', topic='dropped', dead_letter_topic='dead')
    def dropped(event):
        return TopicEventResponse('drop')

    @app.method(name='double')
    def double(request):
        answer = json.dumps({'twice': 2 * json.loads(request.text())['n']})
        return InvokeMethodResponse(answer, 'application/json')

    @app.method(name='hello')
    def hello(request):
        return InvokeMethodResponse(b'there', 'text/plain')

    @app.binding('tick')
    def tick(request):
        heard['tick'].append(True)

    @app.binding('reports')
    def reports(request):
        heard['reports'].append(json.loads(request.text()))

    app.register_health_check(lambda: None)
    threading.Thread(target=lambda: app.run(port, '127.0.0.1'), daemon=True).start()
