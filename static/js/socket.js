/**
 * The websocket of the page: subscriptions with sequence numbers, reconnects, liveness.
 *
 * It never carries content into the page. A message only tells that a topic has moved; whoever
 * listens fetches the server's own markup. So a lost, late or doubled message costs nothing.
 */
import { setServerTime } from "./times.js";

const PROTOCOL = "rayflow.v1";
const RETRY_FIRST = 500;
const RETRY_MOST = 30_000;
const GRACE = 12_000;
const FAILURES_BEFORE_POLLING = 3;
const UNAUTHORISED = new Set([4401, 4403]);

/**
 * @typedef {{topic: string, after?: number, params?: object}} Wanted
 * @typedef {{id: string, key: string, last: number, wanted: Wanted}} Subscription
 * @typedef {"connecting" | "live" | "delayed" | "polling" | "offline" | "signed-out"} State
 */

export class LiveSocket {
  /**
   * @param {string} url
   * @param {{onMoved: (topic: string) => void, onState: (state: State) => void}} listener
   */
  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    /** @type {Map<string, Subscription>} by our own id */
    this.subscriptions = new Map();
    this.failures = 0;
    this.counter = 0;
    this.heardAt = 0;
    this.stopped = false;
    /** @type {WebSocket | null} */
    this.socket = null;
    setInterval(() => this.checkPulse(), 1000);
  }

  open() {
    if (this.stopped) return;
    const socket = new WebSocket(this.url, PROTOCOL);
    this.socket = socket;
    socket.onopen = () => this.send({ type: "hello", client: "console", build: 1 });
    socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    socket.onclose = (event) => this.closed(event.code);
  }

  /** @param {object} frame */
  send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Make the subscriptions equal to `wanted`; unchanged ones keep their place. @param {Wanted[]} wanted */
  want(wanted) {
    const keys = new Map(wanted.map((item) => [JSON.stringify([item.topic, item.params ?? null]), item]));
    for (const [id, subscription] of this.subscriptions) {
      if (keys.delete(subscription.key)) continue;
      this.subscriptions.delete(id);
      this.send({ type: "unsub", id });
    }
    for (const [key, item] of keys) {
      const id = `s${++this.counter}`;
      const subscription = { id, key, last: item.after ?? 0, wanted: item };
      this.subscriptions.set(id, subscription);
      this.subscribe(subscription);
    }
  }

  /** @param {Subscription} subscription */
  subscribe({ id, last, wanted }) {
    const frame = { type: "sub", id, topic: wanted.topic, params: wanted.params ?? {} };
    this.send(last ? { ...frame, after: last } : frame);
  }

  /** @param {any} frame */
  receive(frame) {
    this.heardAt = performance.now();
    switch (frame.type) {
      case "welcome":
        this.failures = 0;
        setServerTime(Date.parse(frame.server_time));
        this.listener.onState("live");
        for (const subscription of this.subscriptions.values()) this.subscribe(subscription);
        break;
      case "snap":
      case "ev":
      case "patch":
        this.moved(frame);
        break;
      case "reset":
        this.reset(frame.id);
        break;
      case "hb":
        this.compareHeads(frame.heads ?? {});
        break;
      case "err":
        console.debug("live:", frame.problem?.detail ?? frame.problem);
        break;
      case "bye":
        this.retryAfter = frame.retry_after;
        break;
      default:
        break;
    }
  }

  /** @param {{id: string, seq?: number, rev?: number, type: string}} frame */
  moved(frame) {
    const subscription = this.subscriptions.get(frame.id);
    if (!subscription) return;
    const place = frame.seq ?? frame.rev ?? 0;
    if (place && place <= subscription.last) return;
    const isFirst = frame.type === "snap" && !subscription.last;
    subscription.last = place || subscription.last;
    // The page was rendered a moment ago; a first snapshot only tells where we stand.
    if (!isFirst || subscription.wanted.after === undefined) {
      this.listener.onMoved(subscription.wanted.topic);
    }
  }

  /** @param {string} id */
  reset(id) {
    const subscription = this.subscriptions.get(id);
    if (!subscription) return;
    subscription.last = 0;
    this.listener.onMoved(subscription.wanted.topic);
  }

  /** A doorbell can be lost; the heartbeat says where every topic is. */
  compareHeads(heads) {
    for (const [id, head] of Object.entries(heads)) {
      const subscription = this.subscriptions.get(id);
      if (subscription && typeof head === "number" && head > subscription.last) {
        this.subscribe(subscription);
        this.listener.onMoved(subscription.wanted.topic);
        subscription.last = head;
      }
    }
  }

  checkPulse() {
    if (this.socket?.readyState !== WebSocket.OPEN || !this.heardAt) return;
    const silent = performance.now() - this.heardAt;
    this.listener.onState(silent > GRACE ? "delayed" : "live");
    // Long silence on an open socket: the other side is gone without a word.
    if (silent > 3 * GRACE) this.socket.close(4000);
  }

  /** @param {number} code */
  closed(code) {
    this.heardAt = 0;
    if (UNAUTHORISED.has(code)) {
      this.stopped = true;
      this.listener.onState("signed-out");
      return;
    }
    this.failures += 1;
    this.listener.onState(this.failures >= FAILURES_BEFORE_POLLING ? "polling" : "offline");
    const backoff = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** Math.min(this.failures - 1, 6));
    const wait = (this.retryAfter ? this.retryAfter * 1000 : 0) + backoff * (0.5 + Math.random());
    this.retryAfter = 0;
    setTimeout(() => this.open(), wait);
  }
}
