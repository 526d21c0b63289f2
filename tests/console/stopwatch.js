// Runs in each page before its own scripts: when things were painted, and the time between frames.
window.stopwatch = (() => {
  const painted = {};

  const afterPaint = (then) =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => then(performance.now());
      port2.postMessage(null);
    });
  /** Call `then` with the time of the frame in which `isThere` holds for the first time. */
  const once = (isThere, then) => {
    const look = () => {
      if (!isThere()) return;
      changes.disconnect();
      afterPaint(then);
    };
    const changes = new MutationObserver(look);
    changes.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    look();
  };
  /** Return whether something that `selector` finds has this text, or any. */
  const shows = (selector, text) =>
    [...document.querySelectorAll(selector)].some((found) => text === null || found.textContent.includes(text));

  once(() => shows("main#content", null), (time) => { painted.shell = time; });
  once(() => shows("main tbody tr", null), (time) => { painted.list = time; });

  // Presses as Interaction to Next Paint counts them, and what kept the page's thread for 50 ms or longer.
  const presses = [];
  const tasks = [];
  const observe = (type, keep, options = {}) =>
    new PerformanceObserver((list) => list.getEntries().forEach(keep)).observe({ type, ...options });
  observe("event", ({ interactionId, duration }) => interactionId && presses.push(duration), { durationThreshold: 16 });
  observe("longtask", ({ duration }) => tasks.push(duration));

  let answer = null;
  let frames = [];
  let isCounting = false;
  return {
    painted,
    /** Measure from the next press of a button or key until `selector` finds something with the text. */
    await(selector, text) {
      answer = null;
      const start = ({ timeStamp }) => {
        for (const type of ["pointerdown", "keydown"]) removeEventListener(type, start, true);
        once(() => shows(selector, text), (time) => { answer = time - timeStamp; });
      };
      for (const type of ["pointerdown", "keydown"]) addEventListener(type, start, true);
    },
    /** The milliseconds of that; null: it is not there yet. */
    get answer() { return answer; },
    /** The milliseconds of the slowest press since the last call; 0: all took less than 16. */
    slowestPress() { return Math.max(0, ...presses.splice(0)); },
    /** The milliseconds of the longest task since the last call; 0: all took less than 50. */
    longestTask() { return Math.max(0, ...tasks.splice(0)); },
    countFrames() {
      let last = null;
      frames = [];
      isCounting = true;
      const count = (time) => {
        if (last !== null) frames.push(time - last);
        last = time;
        if (isCounting) requestAnimationFrame(count);
      };
      requestAnimationFrame(count);
    },
    /** Stop, and return the milliseconds between frames. */
    frames() {
      isCounting = false;
      return frames;
    },
    /** Do a fixed amount of work, and return its milliseconds. */
    work() {
      const start = performance.now();
      let text = "";
      for (let round = 0; round < 8; round += 1) {
        const rows = Array.from({ length: 2000 }, (_, at) => ({ id: (at * 7919) % 1009, name: `row ${at}` }));
        rows.sort((one, other) => one.id - other.id);
        text += JSON.stringify(JSON.parse(JSON.stringify(rows))).length;
      }
      return text ? performance.now() - start : 0;
    },
  };
})();
