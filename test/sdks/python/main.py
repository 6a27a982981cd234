"""The official Dapr Python SDK, unmodified, as client and as app server, over the protocol that PROTOCOL names.

The SDK's client speaks gRPC; over HTTP it invokes, and the app is served with FastAPI.
"""

import asyncio
import json
import os
import sys
import warnings
from collections import defaultdict

warnings.simplefilter('ignore')
PROTOCOL = os.environ['PROTOCOL']
IS_HTTP = PROTOCOL == 'http'
os.environ['DAPR_API_METHOD_INVOCATION_PROTOCOL'] = PROTOCOL

from checks import check, equal, failure, say, until  # noqa: E402
from dapr.aio.clients import DaprClient as AsyncClient  # noqa: E402
from dapr.clients import DaprClient  # noqa: E402
from dapr.clients.grpc._crypto import DecryptOptions, EncryptOptions  # noqa: E402
from dapr.clients.grpc._request import (  # noqa: E402
    TransactionalStateOperation,
    TransactionOperationType,
)
from dapr.clients.grpc._response import TopicEventResponse, UnlockResponseStatus  # noqa: E402
from dapr.clients.grpc._state import Concurrency, StateItem, StateOptions  # noqa: E402

if IS_HTTP:
    import http_app as app
else:
    import grpc_app as app

STORE = 'statestore'
heard = defaultdict(list)
app.start(int(os.environ['APP_PORT']), heard)
sys.stdin.readline()
client = DaprClient()


def publish(topic, data, kind='application/json', **metadata):
    client.publish_event('pubsub', topic, data, data_content_type=kind, publish_metadata=metadata)


@check('state: save, get, delete')
def _():
    client.save_state(STORE, 'one', json.dumps({'n': 1, 'text': 'grüße'}))
    equal(client.get_state(STORE, 'one').json(), {'n': 1, 'text': 'grüße'})
    client.save_state(STORE, 'bytes', b'\x00\xff\x7f')
    equal(client.get_state(STORE, 'bytes').data, b'\x00\xff\x7f')
    client.delete_state(STORE, 'one')
    equal(client.get_state(STORE, 'one').data, b'')
    equal(client.get_state(STORE, 'never').data, b'')


@check('state: bulk save and get')
def _():
    states = [StateItem(f'bulk-{n}', str(n)) for n in range(20)]
    client.save_bulk_state(STORE, states)
    keys = [state.key for state in states]
    found = client.get_bulk_state(STORE, [*keys, 'never'], parallelism=4).items
    equal({item.key: item.text() for item in found if item.data}, {s.key: s.value for s in states})


@check('state: etag')
def _():
    client.save_state(STORE, 'tagged', 'a')
    first = client.get_state(STORE, 'tagged').etag
    options = StateOptions(concurrency=Concurrency.first_write)
    client.save_state(STORE, 'tagged', 'b', etag=first, options=options)
    text = failure(lambda: client.save_state(STORE, 'tagged', 'c', etag=first, options=options))
    assert 'etag' in text.lower(), text
    failure(lambda: client.delete_state(STORE, 'tagged', etag=first))
    second = client.get_state(STORE, 'tagged')
    equal(second.text(), 'b')
    client.delete_state(STORE, 'tagged', etag=second.etag)
    equal(client.get_state(STORE, 'tagged').data, b'')


@check('state: time to live')
def _():
    client.save_state(STORE, 'brief', 'here', state_metadata={'ttlInSeconds': '1'})
    equal(client.get_state(STORE, 'brief').text(), 'here')
    until('its end', lambda: client.get_state(STORE, 'brief').data == b'')


@check('state: transaction')
def _():
    client.save_state(STORE, 'old', 'x')
    client.execute_state_transaction(
        STORE,
        [
            TransactionalStateOperation(key='new', data='3'),
            TransactionalStateOperation(key='old', operation_type=TransactionOperationType.delete),
        ],
    )
    equal(client.get_state(STORE, 'new').text(), '3')
    equal(client.get_state(STORE, 'old').data, b'')


@check('state: errors')
def _():
    assert 'nowhere' in failure(lambda: client.save_state('nowhere', 'a', 'b'))
    assert 'nowhere' in failure(lambda: client.get_state('nowhere', 'a'))


@check('publish and subscribe')
def _():
    publish('orders', json.dumps({'order': 1}))
    until('the order', lambda: heard['orders'])
    equal(heard['orders'], [{'order': 1}])
    assert 'nowhere' in failure(lambda: client.publish_event('nowhere', 'orders', 'a'))


@check('publish a cloud event')
def _():
    heard['orders'].clear()
    event = {'specversion': '1.0', 'id': 'e-1', 'source': 'sdk', 'type': 'own', 'data': {'order': 7}}
    event['datacontenttype'] = 'application/json'
    publish('orders', json.dumps(event), 'application/cloudevents+json')
    until('the order', lambda: heard['orders'])
    equal(heard['orders'], [{'order': 7}])


@check('publish and subscribe raw')
def _():
    publish('raw', b'celsius', 'application/octet-stream', rawPayload='true')
    until('the reading', lambda: heard['raw'])
    assert heard['raw'][0] in (b'celsius', 'Y2Vsc2l1cw=='), heard['raw']


@check('publish in bulk')
def _():
    events = [json.dumps({'n': n}) for n in range(10)]
    answer = client.publish_events('pubsub', 'many', events, data_content_type='application/json')
    equal(list(answer.failed_entries), [])
    until('all of them', lambda: len(heard['many']) >= 10)
    equal(sorted(event['n'] for event in heard['many']), list(range(10)))


if not IS_HTTP:

    @check('subscribe with rules')
    def _():
        for kind in ('big', 'small', 'neither'):
            event = {'specversion': '1.0', 'id': kind, 'source': 'sdk', 'type': kind, 'data': {}}
            publish('routed', json.dumps(event), 'application/cloudevents+json')
        until('both', lambda: len(heard['routed']) >= 2)
        equal(sorted(heard['routed']), ['big', 'small'])


@check('retry and dead letter')
def _():
    publish('retried', json.dumps({'again': True}))
    publish('dropped', json.dumps({'lost': False}))
    until('the third try', lambda: len(heard['retried']) >= 3)
    until('the dead letter', lambda: heard['dead'])
    equal(heard['dead'], [{'lost': False}])


@check('subscribe by a stream')
def _():
    subscription = client.subscribe('pubsub', 'streamed', dead_letter_topic='dead')
    heard['dead'].clear()
    for n in range(3):
        publish('streamed', json.dumps({'n': n}))
        message = subscription.next_message()
        equal(message.data(), {'n': n})
        if n == 1:
            subscription.respond_drop(message)
        else:
            subscription.respond_success(message)
    until('the dead letter', lambda: heard['dead'])
    subscription.close()


@check('subscribe by a stream with a handler')
def _():
    seen = []

    def take(message):
        seen.append(message.data())
        return TopicEventResponse('success' if len(seen) > 1 else 'retry')

    close = client.subscribe_with_handler('pubsub', 'handled', take)
    publish('handled', json.dumps('hello'))
    until('it twice', lambda: len(seen) >= 2)
    equal(seen, ['hello', 'hello'])
    close()


@check('invoke')
def _():
    def invoke(method, data='', **options):
        return client.invoke_method('sdk-app', method, data, **options)

    verb = {'http_verb': 'POST'} if IS_HTTP else {}
    answer = invoke('double', json.dumps({'n': 21}), content_type='application/json', **verb)
    equal(json.loads(answer.text()), {'twice': 42})
    if IS_HTTP:
        who = invoke('hello', http_verb='GET', http_querystring=(('who', 'grüße'),))
        equal(who.json(), {'hello': 'grüße'})
        assert '418' in failure(lambda: invoke('teapot', http_verb='POST'))
    else:
        equal(invoke('hello').text(), 'there')
    failure(lambda: invoke('not-there', 'a', **verb))
    failure(lambda: client.invoke_method('nobody', 'double', 'a', **verb))


@check('bindings: output')
def _():
    name = {'fileName': f'python-{PROTOCOL}.txt'}
    client.invoke_binding('files', 'create', b'hello', name)
    equal(client.invoke_binding('files', 'get', '', name).data, b'hello')
    client.invoke_binding('files', 'delete', '', name)
    failure(lambda: client.invoke_binding('files', 'get', '', name))
    assert 'nowhere' in failure(lambda: client.invoke_binding('nowhere', 'create', 'a'))


@check('bindings: input')
def _():
    until('a tick', lambda: heard['tick'])


@check('bindings: output comes back as input', 'mqtt')
def _():
    client.invoke_binding('reports', 'create', json.dumps({'report': 'all is well'}))
    until('the report', lambda: heard['reports'])
    equal(heard['reports'], [{'report': 'all is well'}])


@check('secrets')
def _():
    equal(client.get_secret('env-secrets', 'SDK_SECRET').secret, {'SDK_SECRET': 'shh'})
    equal(client.get_secret('file-secrets', 'nested:key').secret, {'nested:key': 'deep'})
    secrets = client.get_bulk_secret('file-secrets').secrets
    equal(secrets, {'flat': {'flat': 'shallow'}, 'nested:key': {'nested:key': 'deep'}})
    assert 'nowhere' in failure(lambda: client.get_secret('nowhere', 'a'))


@check('configuration: get and subscribe', 'configuration')
def _():
    equal(client.get_configuration('config', ['limit']).items['limit'].value, '10')
    seen = set()

    def changed(_id, answer):
        seen.update(item.value for item in answer.items.values())

    subscription = client.subscribe_configuration('config', ['ticker'], changed)
    until('two changes', lambda: len(seen) >= 2)
    assert client.unsubscribe_configuration('config', subscription)


@check('lock', 'lock')
def _():
    with client.try_lock('locks', 'door', 'me', 30) as mine:
        assert mine.success
        assert not client.try_lock('locks', 'door', 'you', 30).success
        equal(client.unlock('locks', 'door', 'you').status, UnlockResponseStatus.lock_belongs_to_others)
    equal(client.unlock('locks', 'door', 'me').status, UnlockResponseStatus.lock_does_not_exist)


def seal_and_open(plain, key, algorithm, cipher='aes-gcm'):
    options = EncryptOptions('crypto', key, algorithm, data_encryption_cipher=cipher)
    sealed = client.encrypt(plain, options).read()
    assert plain not in sealed
    equal(client.decrypt(sealed, DecryptOptions('crypto', key)).read(), plain)


for key, algorithm in (('rsa.pem', 'RSA'), ('aes.key', 'AES')):

    @check(f'cryptography: {algorithm}')
    def _():
        seal_and_open(b'hello', key, algorithm)
        seal_and_open(os.urandom(300_000), key, algorithm, 'chacha20-poly1305')


@check('cryptography: streams')
def _():
    plain = os.urandom(1_000_000)
    stream = client.encrypt(plain, EncryptOptions('crypto', 'rsa.pem', 'RSA'))
    sealed = b''.join(iter(lambda: stream.read(10_000), b''))
    equal(client.decrypt(sealed, DecryptOptions('crypto')).read(), plain)
    failure(lambda: client.encrypt(b'a', EncryptOptions('crypto', 'none', 'RSA')).read())


@check('metadata')
def _():
    client.set_metadata('colour', 'blue')
    found = client.get_metadata()
    equal(found.application_id, 'sdk-app')
    equal(found.extended_metadata['colour'], 'blue')
    assert STORE in [component.name for component in found.registered_components]


@check('the asynchronous client')
def _():
    async def story():
        async with AsyncClient() as other:
            await other.save_state(STORE, 'async', 'yes')
            equal((await other.get_state(STORE, 'async')).text(), 'yes')
            subscription = await other.subscribe('pubsub', 'awaited')
            await other.publish_event('pubsub', 'awaited', '{"n":1}', data_content_type='application/json')
            message = await subscription.next_message()
            equal(message.data(), {'n': 1})
            await subscription.respond_success(message)
            await subscription.close()

    asyncio.run(asyncio.wait_for(story(), 20))


say('done')
client.close()
# The servers' threads have no end of their own.
os._exit(0)
