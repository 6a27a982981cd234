/** Why a connection could not be made, in the words of Go's clients, by the code of the system. */
export const DIAL_FAULTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ENOENT: 'connect: no such file or directory',
  ETIMEDOUT: 'i/o timeout',
};
