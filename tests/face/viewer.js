// Runs the program of a page of the viewer without a browser, does what is asked, and tells what was drawn each time.
// node viewer.js PAGE.html '[["key", "ArrowLeft"], ["switch", "sphere"], …]'
const fs = require("fs"), vm = require("vm");
const page = fs.readFileSync(process.argv[2], "utf8");
const scripts = [...page.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)];
const data = scripts.find((s) => s[1].includes("application/json"))[2];
const program = scripts.find((s) => !s[1].includes("json"))[2];

let drawn = [], path = [];
const pen = {
  setTransform() {}, clearRect() { drawn = []; }, beginPath() { path = []; }, closePath() {},
  moveTo(x, y) { path.push([x, y]); }, lineTo(x, y) { path.push([x, y]); }, arc(x, y) { path.push([x, y]); },
  fill() { drawn.push({ what: "fill", path, color: this.fillStyle }); },
  stroke() { drawn.push({ what: "stroke", path, color: this.strokeStyle }); },
  measureText: (text) => ({ width: 7 * text.length }),
  fillText(text, x, y) { drawn.push({ what: "text", text, path: [[x, y], [x + 7 * text.length, y]] }); },
};
class Element {
  constructor(tag) { this.tag = tag; this.children = []; this.listeners = {}; this.style = {}; this.textContent = ""; }
  append(...parts) { this.children.push(...parts); }
  addEventListener(name, does) { this.listeners[name] = does; }
  setPointerCapture() {}
  getContext() { return pen; }
  fire(name, event = {}) { this.listeners[name]({ preventDefault() {}, ...event }); }
}
const elements = {};
for (const id of ["view", "legend", "scale", "opacity", "veil", "scene"]) elements[id] = new Element(id);
Object.assign(elements.view, { clientWidth: 800, clientHeight: 600 });
elements.scene.textContent = data;
const window = { devicePixelRatio: 2, addEventListener() {} };
const document = { getElementById: (id) => elements[id], createElement: (tag) => new Element(tag) };
vm.runInNewContext(program, { window, document, requestAnimationFrame: (does) => does(), Math, JSON, Set, Map });

const frames = [drawn];
const acts = {
  key: (key) => elements.view.fire("keydown", { key }),
  wheel: (deltaY) => elements.view.fire("wheel", { deltaY }),
  drag: (x, y) => {
    elements.view.fire("pointerdown", { pointerId: 1, clientX: 0, clientY: 0 });
    elements.view.fire("pointermove", { pointerId: 1, clientX: x, clientY: y });
    elements.view.fire("pointerup", { pointerId: 1 });
  },
  pinch: (factor) => {
    elements.view.fire("pointerdown", { pointerId: 1, clientX: 0, clientY: 0 });
    elements.view.fire("pointerdown", { pointerId: 2, clientX: 100, clientY: 0 });
    elements.view.fire("pointermove", { pointerId: 2, clientX: 100 * factor, clientY: 0 });
    for (const pointerId of [1, 2]) elements.view.fire("pointerup", { pointerId });
  },
  switch: (group) => {
    const box = elements.legend.children.find((row) => row.children.includes(group)).children[0];
    box.checked = !box.checked;
    box.fire("change");
  },
};
for (const [act, ...how] of JSON.parse(process.argv[3])) { acts[act](...how); frames.push(drawn); }
const groups = elements.legend.children.map((row) => row.children[2]);
console.log(JSON.stringify({ frames, groups, veiled: elements.veil.hidden, opacity: elements.opacity.value }));
