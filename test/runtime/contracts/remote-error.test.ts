import t from 'tap';
import { GrpcCode } from '../../../runtime/contracts/grpc-code.ts';
import { RemoteError, remoteStatus } from '../../../runtime/contracts/remote-error.ts';

t.test('the status that retry lists are compared with is that of the caller', (t) => {
  const error = new RemoteError(GrpcCode.ResourceExhausted, 'too much');
  t.equal(error.message, 'rpc error: code = ResourceExhausted desc = too much');
  t.same(remoteStatus(error, 'http'), { httpStatus: 429 });
  t.same(remoteStatus(error, 'grpc'), { grpcCode: 8 });
  t.equal(remoteStatus(new Error('of a built-in component'), 'http'), undefined);
  t.end();
});
