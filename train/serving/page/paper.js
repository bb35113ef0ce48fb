// The paper: a canvas that is drawn on, or takes a picture.

const MOST = 1024; // px of a picture's longer side; the model sees 128
const STEPS = 30; // that can be undone

export class Paper {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.changed = changed;
    this.past = [];
    this.width = 5;
    this.rubber = false;
    this.drawn = false;
    this.blank();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (this.last = null));
  }

  blank() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  keep() {
    const { width, height } = this.canvas;
    this.past.push({ pixels: this.context.getImageData(0, 0, width, height), drawn: this.drawn });
    this.past.splice(0, this.past.length - STEPS);
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    Object.assign(this.canvas, { width: before.pixels.width, height: before.pixels.height });
    this.context.putImageData(before.pixels, 0, 0);
    this.drawn = before.drawn;
    this.changed();
  }

  clear() {
    this.keep();
    Object.assign(this.canvas, { width: 512, height: 512 });
    this.blank();
    this.drawn = false;
    this.changed();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  begin(event) {
    if (event.button) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.keep();
    this.last = this.place(event);
    this.go(event);
    this.drawn = true;
    this.changed();
  }

  go(event) {
    if (!this.last) return;
    const next = this.place(event);
    const pen = this.context;
    Object.assign(pen, { lineCap: "round", lineJoin: "round", strokeStyle: this.rubber ? "#fff" : "#000" });
    pen.lineWidth = this.rubber ? 4 * this.width : this.width;
    pen.beginPath();
    pen.moveTo(...this.last);
    pen.lineTo(...next);
    pen.stroke();
    this.last = next;
  }

  async take(file) {
    const picture = await createImageBitmap(file).catch(() => null);
    if (!picture) throw new Error(`${file.name} is no picture that the browser can read: give a PNG or JPEG`);
    this.keep();
    const scale = Math.min(1, MOST / Math.max(picture.width, picture.height));
    this.canvas.width = Math.max(1, Math.round(picture.width * scale));
    this.canvas.height = Math.max(1, Math.round(picture.height * scale));
    this.blank();
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    this.drawn = true;
    this.changed();
  }

  png() {
    return new Promise((done) => this.canvas.toBlob(done, "image/png"));
  }
}
