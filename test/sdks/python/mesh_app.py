"""The app side of mesh.py: takes one topic, tells what it heard, and doubles numbers."""

import asyncio
import json
import threading


def start_http(port, topic, heard):
    """Serves with FastAPI in a thread of its own."""
    import uvicorn
    from fastapi import Body, FastAPI, Request

    from dapr.ext.fastapi import DaprApp

    app = FastAPI()

    @DaprApp(app).subscribe(pubsub='pubsub', topic=topic)
    def take(event=Body()):
        heard.append(event['data'])

    @app.get('/heard')
    async def tell():
        return heard

    @app.post('/double')
    async def double(request: Request):
        return {'twice': 2 * (await request.json())['n']}

    server = uvicorn.Server(uvicorn.Config(app, host='127.0.0.1', port=port, log_level='warning'))
    threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True).start()


def start_grpc(port, topic, heard):
    """Serves with the SDK's gRPC extension in a thread of its own."""
    from dapr.ext.grpc import App, InvokeMethodResponse

    app = App()

    @app.subscribe(pubsub_name='pubsub', topic=topic)
    def take(event):
        heard.append(json.loads(event.Data()))

    @app.method(name='heard')
    def tell(request):
        return InvokeMethodResponse(json.dumps(heard), 'application/json')

    @app.method(name='double')
    def double(request):
        answer = json.dumps({'twice': 2 * json.loads(request.text())['n']})
        return InvokeMethodResponse(answer, 'application/json')

    app.register_health_check(lambda: None)
    threading.Thread(target=lambda: app.run(port, '127.0.0.1'), daemon=True).start()
