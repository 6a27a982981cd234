"""One app of two that only know names, with the official Python SDK: at the edge (ROLE=edge) or in the cloud.

What the names stand for is the business of the sidecars. Both say what they found; the one in JavaScript does the same.
"""

import json
import os
import sys
import warnings

warnings.simplefilter('ignore')
PROTOCOL = os.environ['PROTOCOL']
IS_HTTP = PROTOCOL == 'http'
IS_EDGE = os.environ['ROLE'] == 'edge'
os.environ['DAPR_API_METHOD_INVOCATION_PROTOCOL'] = PROTOCOL

import mesh_app  # noqa: E402
from checks import check, equal, failure, say, until  # noqa: E402
from dapr.clients import DaprClient  # noqa: E402
from dapr.clients.grpc._request import (  # noqa: E402
    TransactionalStateOperation,
    TransactionOperationType,
)

STORE = 'statestore'
TOPIC, OTHER_TOPIC, OTHER = ('down', 'up', 'cloud-app') if IS_EDGE else ('up', 'down', 'edge-app')
heard = []
(mesh_app.start_http if IS_HTTP else mesh_app.start_grpc)(int(os.environ['APP_PORT']), TOPIC, heard)
sys.stdin.readline()
client = DaprClient()


def invoke(method, data='', verb='POST'):
    answer = client.invoke_method(OTHER, method, data, content_type='application/json', http_verb=verb)
    return json.loads(answer.text())


def patiently(what, ask):
    """What others answer once they are there."""

    def attempt():
        try:
            return ask()
        except Exception:  # noqa: BLE001
            return None

    return until(what, attempt)


def other_heard(n):
    return n in [note['n'] for note in invoke('heard', verb='GET')]


@check('invoke the other side')
def _():
    equal(patiently('the other side', lambda: invoke('double', json.dumps({'n': 21}))), {'twice': 42})
    failure(lambda: invoke('not-there', '{}'))


@check('publish up' if IS_EDGE else 'publish down')
def _():
    count = 0

    def attempt():
        nonlocal count
        count += 1
        client.publish_event(
            'pubsub', OTHER_TOPIC, json.dumps({'n': count}), data_content_type='application/json'
        )
        return other_heard(count)

    # The cloud's broker forgets what nobody has subscribed to yet.
    until('it to be heard', attempt)


@check('events down' if IS_EDGE else 'events up')
def _():
    assert until('an event', lambda: heard)[0]['n'] > 0


if IS_EDGE:

    @check('state of the cloud: save, get, transaction')
    def _():
        client.save_state(STORE, 'gone', 'x')
        client.save_state(STORE, 'text', 'plain words')
        equal(client.get_state(STORE, 'text').text(), 'plain words')
        found = client.get_bulk_state(STORE, ['text', 'never']).items
        equal({item.key: item.text() for item in found if item.data}, {'text': 'plain words'})
        client.execute_state_transaction(
            STORE,
            [
                TransactionalStateOperation(key='shared', data='"edge"'),
                TransactionalStateOperation(key='gone', operation_type=TransactionOperationType.delete),
            ],
        )
        equal(client.get_state(STORE, 'shared').text().replace('"', ''), 'edge')
        equal(client.get_state(STORE, 'gone').data, b'')

    @check('a binding of the cloud')
    def _():
        client.invoke_binding('files', 'create', json.dumps({'from': 'edge'}), {'fileName': 'edge.json'})

else:

    @check('state that the edge wrote')
    def _():
        found = until('the state', lambda: client.get_state(STORE, 'shared').text())
        equal(found.replace('"', '').replace('\\', ''), 'edge')
        equal(client.get_state(STORE, 'text').text().replace('"', ''), 'plain words')

    @check('a binding that the edge used')
    def _():
        read = patiently('the file', lambda: client.invoke_binding('files', 'get', '', {'fileName': 'edge.json'}))
        equal(json.loads(read.data), {'from': 'edge'})


@check('secrets')
def _():
    equal(client.get_secret('vault', 'door').secret, {'door': 'sesame'})
    failure(lambda: client.get_secret('vault', 'window'))


@check('configuration: get and subscribe')
def _():
    equal(client.get_configuration('settings', ['limit']).items['limit'].value, '10')
    if 'DAPR_API_TOKEN' in os.environ:
        # The SDK leaves the token out of streams that only the server fills.
        return
    seen = set()

    def changed(_id, answer):
        seen.update(item.value for item in answer.items.values())

    client.subscribe_configuration('settings', ['ticker'], changed)
    until('two changes', lambda: len(seen) >= 2)


say('done')
# The other one may still call.
sys.stdin.read()
os._exit(0)
