// What a scenario works with: clients of stock stomp.js, inboxes, and a few assertions. The same
// file runs in Node and in a browser, so it imports nothing.

const PATIENCE = 10_000; // ms a scenario waits for something that must come

let names = 0;

/** A destination nobody else uses. */
export function unique(prefix) {
  return `${prefix}${Date.now().toString(36)}-${(names++).toString(36)}`;
}

export function ok(value, what) {
  if (!value) throw new Error(`not so: ${what}`);
}

export function equal(got, want, what) {
  const g = JSON.stringify(got);
  const w = JSON.stringify(want);
  if (g !== w) throw new Error(`${what}: got ${shorten(g)}, want ${shorten(w)}`);
}

function shorten(text) {
  return text !== undefined && text.length > 300 ? `${text.slice(0, 300)}… (${text.length})` : text;
}

/** The promise, or an error that says what did not happen within ms. */
export function within(promise, what, ms = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Values that come one by one and are asked for one by one. */
export class Mailbox {
  constructor(what) {
    this.what = what;
    this.waiting = [];
    this.values = [];
  }

  put(value) {
    const taker = this.waiting.shift();
    if (taker) taker(value);
    else this.values.push(value);
  }

  next(ms = PATIENCE) {
    if (this.values.length > 0) return Promise.resolve(this.values.shift());
    let taker;
    const value = new Promise(resolve => {
      taker = resolve;
      this.waiting.push(resolve);
    });
    return within(value, this.what, ms).catch(error => {
      this.waiting = this.waiting.filter(w => w !== taker);
      throw error;
    });
  }

  async take(count) {
    const values = [];
    while (values.length < count) values.push(await this.next());
    return values;
  }
}

/** Messages of one subscription. */
export class Inbox extends Mailbox {
  async bodies(count) {
    return (await this.take(count)).map(message => message.body);
  }
}

/**
 * One scenario's surroundings.
 *
 * stomp is the stomp.js module, url the broker's WebSocket, WebSocket the constructor stomp.js
 * uses too, control(action, signal) stops and starts the broker.
 */
export class World {
  constructor({ stomp, url, WebSocket, login, passcode, control }) {
    Object.assign(this, { stomp, url, WebSocket, login, passcode, control });
    this.clients = [];
    this.sockets = [];
  }

  /** A client that is not active yet; every event of its life lands in a mailbox. */
  client(conf = {}) {
    const { versions, ...rest } = conf;
    const client = new this.stomp.Client({
      brokerURL: this.url,
      connectHeaders: { login: this.login, passcode: this.passcode },
      reconnectDelay: 0,
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
      ...(versions && { stompVersions: new this.stomp.Versions(versions) }),
      ...rest,
    });
    const life = {
      connects: new Mailbox('CONNECTED'),
      errors: new Mailbox('ERROR'),
      closes: new Mailbox('the WebSocket to close'),
      disconnects: new Mailbox('the RECEIPT for DISCONNECT'),
      unhandled: new Inbox('a MESSAGE without a subscription of its own'),
      socketErrors: [],
      refuse: () => {},
    };
    const chain = (name, mine) => {
      const theirs = client[name];
      client[name] = argument => {
        mine(argument);
        theirs(argument);
      };
    };
    chain('onConnect', frame => life.connects.put(frame));
    chain('onStompError', frame => {
      life.errors.put(frame);
      life.refuse(`ERROR ${frame.headers.message}`);
    });
    chain('onWebSocketClose', event => {
      life.closes.put(event);
      life.refuse(`close ${event.code} ${event.reason}`);
    });
    chain('onDisconnect', frame => life.disconnects.put(frame));
    chain('onUnhandledMessage', message => life.unhandled.put(message));
    chain('onWebSocketError', event => life.socketErrors.push(event));
    client.life = life;
    this.clients.push(client);
    return client;
  }

  /** A connected client; its CONNECTED frame is client.connectedFrame. */
  async connect(conf = {}) {
    const client = this.client(conf);
    const refused = new Promise((_, reject) => {
      client.life.refuse = why => reject(new Error(`instead of CONNECTED: ${why}`));
    });
    refused.catch(() => {});
    client.activate();
    client.connectedFrame = await Promise.race([client.life.connects.next(), refused]);
    return client;
  }

  /** A raw WebSocket for what stomp.js itself would not send; text it gets lands in .inbox. */
  async socket(protocols = ['v12.stomp']) {
    const socket = new this.WebSocket(this.url, protocols);
    socket.binaryType = 'arraybuffer';
    socket.inbox = new Mailbox('a WebSocket message');
    socket.closing = new Mailbox('the WebSocket to close');
    this.sockets.push(socket);
    socket.onmessage = event => {
      // Heart-beats are of no interest here.
      if (event.data !== '\n') socket.inbox.put(event.data);
    };
    socket.onclose = event => socket.closing.put(event);
    await within(
      new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = () => reject(new Error('WebSocket refused'));
      }),
      'the WebSocket to open',
    );
    socket.onerror = () => {};
    return socket;
  }

  async end() {
    for (const socket of this.sockets) socket.close();
    await Promise.all(this.clients.map(client => client.deactivate({ force: true })));
  }
}

/** Resolves with the RECEIPT; call it with the header it returns put on a frame. */
export function receipt(client) {
  const id = unique('receipt-');
  const promise = within(
    new Promise(resolve => client.watchForReceipt(id, resolve)),
    `RECEIPT ${id}`,
  );
  return { headers: { receipt: id }, promise };
}

/** Subscribes and waits until the broker says so. */
export async function listen(client, destination, headers = {}) {
  const inbox = new Inbox(`a MESSAGE from ${destination}`);
  inbox.destination = destination;
  const done = receipt(client);
  inbox.subscription = client.subscribe(destination, message => inbox.put(message), {
    ...headers,
    ...done.headers,
  });
  await done.promise;
  return inbox;
}

/** Sends text and waits until the broker has it. */
export async function send(client, destination, body, headers = {}) {
  const done = receipt(client);
  client.publish({ destination, body, headers: { ...headers, ...done.headers } });
  await done.promise;
}

/** Acknowledges (or not) and waits until the broker has done so. */
export async function settle(client, message, verb = 'ack', headers = {}) {
  const done = receipt(client);
  message[verb]({ ...headers, ...done.headers });
  await done.promise;
}

/** Ends a connection without a DISCONNECT, as a network would. */
export function drop(client) {
  return within(client.deactivate({ force: true }), 'the dropped connection to end');
}
