// Every scenario, in the order they run. A scenario is {name, run(world), needs}: needs lists what
// a broker or a way of running must offer: 'gudok' (what STOMP leaves open and Gudok decided),
// 'control' (the test may stop and start the broker).

import { connecting } from './scenarios/connecting.js';
import { acknowledging } from './scenarios/acknowledging.js';
import { transactions } from './scenarios/transactions.js';
import { bodies } from './scenarios/bodies.js';
import { headers } from './scenarios/headers.js';
import { receipts } from './scenarios/receipts.js';
import { subscriptions } from './scenarios/subscriptions.js';
import { tutorials } from './scenarios/tutorials.js';
import { reactNative } from './scenarios/reactnative.js';
import { heartBeats } from './scenarios/heartbeats.js';
import { lifecycle } from './scenarios/lifecycle.js';

export const scenarios = [
  ...connecting,
  ...acknowledging,
  ...transactions,
  ...bodies,
  ...headers,
  ...receipts,
  ...subscriptions,
  ...tutorials,
  ...reactNative,
  ...heartBeats,
  ...lifecycle,
];
