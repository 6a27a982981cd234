"""The app over HTTP: FastAPI with the SDK's extension for it."""

import asyncio
import threading

import uvicorn
from fastapi import Body, FastAPI, Request, Response

from dapr.ext.fastapi import DaprApp


def start(port, heard):
    """Serves in a thread of its own."""
    app = FastAPI()
    dapr = DaprApp(app)

    def listen(topic, **options):
        @dapr.subscribe(pubsub='pubsub', topic=topic, **options)
        def take(event=Body()):
            heard[topic].append(event['data'])

    for topic in ('orders', 'many', 'dead'):
        listen(topic)

    @dapr.subscribe(pubsub='pubsub', topic='raw', metadata={'rawPayload': 'true'})
    def raw(event=Body()):
        heard['raw'].append(event['data_base64'])

    @dapr.subscribe(pubsub='pubsub', topic='retried')
    def retried(event=Body()):
        heard['retried'].append(event['data'])
        return {'status': 'RETRY' if len(heard['retried']) < 3 else 'SUCCESS'}

    @dapr.subscribe(pubsub='pubsub', topic='dropped', dead_letter_topic='dead')
    def dropped(event=Body()):
        return {'status': 'DROP'}

    @app.post('/double')
    async def double(request: Request):
        return {'twice': 2 * (await request.json())['n']}

    @app.get('/hello')
    async def hello(request: Request):
        return {'hello': request.query_params.get('who')}

    @app.post('/teapot')
    async def teapot():
        return Response('short and stout', status_code=418, media_type='text/plain')

    @app.post('/tick')
    async def tick():
        heard['tick'].append(True)

    @app.post('/reports')
    async def reports(request: Request):
        heard['reports'].append(await request.json())

    server = uvicorn.Server(uvicorn.Config(app, host='127.0.0.1', port=port, log_level='warning'))
    threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True).start()
