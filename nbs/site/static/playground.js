// The playground: one image, its spectrum and its tail. Nothing is sent anywhere.
"use strict";

(() => {
  const page = document.getElementById("playground");
  if (!page) return;
  const find = (name) => page.querySelector(`[data-part="${name}"]`);
  const known = window.stalData;
  const SIZES = [256, 128, 64]; // sides of the square that is measured, the largest that fits
  const LARGEST = 120e6; // pixels
  const SVG = "http://www.w3.org/2000/svg";
  const state = { bitmap: null, name: "", note: "", turn: 0, shown: null, kept: null };

  // Reading a picture ----------------------------------------------------------------------

  // As stal reads it: upright, no colour management, transparency on white.
  async function decode(blob) {
    const bitmap = await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    }).catch(() => null);
    if (!bitmap) throw new Error("This browser cannot read it as an image. Try PNG or JPEG.");
    if (bitmap.width * bitmap.height > LARGEST) {
      const millions = Math.round((bitmap.width * bitmap.height) / 1e6);
      bitmap.close();
      throw new Error(`It has ${millions} million pixels; 120 million is the limit here.`);
    }
    if (Math.min(bitmap.width, bitmap.height) < SIZES.at(-1)) {
      throw new Error(
        `It has ${bitmap.width} × ${bitmap.height} pixels; at least 64 × 64 are needed. ` +
        "Images are never enlarged to be measured.");
    }
    return bitmap;
  }

  // What a reader should know of a file of several frames; empty: it has one.
  async function frames(blob) {
    if (!window.ImageDecoder || !(await ImageDecoder.isTypeSupported(blob.type))) return "";
    const decoder = new ImageDecoder({ data: await blob.arrayBuffer(), type: blob.type });
    try {
      await decoder.tracks.ready;
      const count = decoder.tracks.selectedTrack.frameCount;
      return count > 1 ? `It has ${count} frames; the first is measured.` : "";
    } catch {
      return "";
    } finally {
      decoder.close();
    }
  }

  function canvasOf(width, height) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    return [canvas, context];
  }

  // The middle of a picture, pixel by pixel. Where it lies on JPEG's grid of 8 is kept.
  function centre(picture, side) {
    const [width, height] = [Math.min(side, picture.width), Math.min(side, picture.height)];
    const [canvas, context] = canvasOf(width, height);
    const left = Math.floor((picture.width - width) / 2);
    const top = Math.floor((picture.height - height) / 2);
    context.drawImage(picture, left, top, width, height, 0, 0, width, height);
    return canvas;
  }

  // What is done to it ----------------------------------------------------------------------

  function scaled(canvas, factor) {
    if (factor === 1) return canvas;
    const width = Math.max(1, Math.round(canvas.width * factor));
    const height = Math.max(1, Math.round(canvas.height * factor));
    const [small, context] = canvasOf(width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(canvas, 0, 0, width, height);
    return small;
  }

  // Gaussian blur, separable, borders mirrored.
  function blurred(canvas, sigma) {
    if (sigma === 0) return canvas;
    const reach = Math.ceil(3 * sigma);
    const weights = [];
    for (let k = -reach; k <= reach; k++) weights.push(Math.exp(-k * k / (2 * sigma * sigma)));
    const sum = weights.reduce((a, b) => a + b);
    const { width, height } = canvas;
    const context = canvas.getContext("2d");
    const image = context.getImageData(0, 0, width, height);
    const mirror = (i, n) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i);
    let from = Float32Array.from(image.data);
    for (const [step, n, other, jump] of [[4, width, height, 4 * width],
                                          [4 * width, height, width, 4]]) {
      const to = new Float32Array(from.length);
      for (let line = 0; line < other; line++) {
        for (let i = 0; i < n; i++) {
          for (let channel = 0; channel < 3; channel++) {
            let value = 0;
            for (let k = -reach; k <= reach; k++) {
              value += weights[k + reach] * from[line * jump + mirror(i + k, n) * step + channel];
            }
            to[line * jump + i * step + channel] = value / sum;
          }
        }
      }
      from = to;
    }
    for (let i = 0; i < from.length; i++) if (i % 4 < 3) image.data[i] = Math.round(from[i]);
    const [result, drawn] = canvasOf(width, height);
    drawn.putImageData(image, 0, 0);
    return result;
  }

  async function compressed(canvas, quality) {
    if (quality > 100) return canvas;
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality / 100));
    const [result, context] = canvasOf(canvas.width, canvas.height);
    context.drawImage(await decode(blob), 0, 0);
    return result;
  }

  // Measuring ---------------------------------------------------------------------------------

  function measured(canvas) {
    const side = SIZES.find((size) => size <= Math.min(canvas.width, canvas.height));
    if (!side) throw new Error("Scaled down so far, fewer than 64 × 64 pixels are left.");
    const crop = centre(canvas, side);
    const rgba = crop.getContext("2d").getImageData(0, 0, side, side).data;
    const plane = Spectrum.luminance(rgba);
    if (plane.every((value) => value === plane[0])) {
      throw new Error("Its middle has one colour only: there is no spectrum.");
    }
    const spectrum = Spectrum.power(plane, side);
    const rings = known.photographs[side].rings;
    const profile = Spectrum.radialProfile(plane, side, rings, spectrum);
    return {
      side, crop, spectrum, profile,
      tail: Spectrum.tailCurve(profile),
      uplift: Spectrum.uplift(profile),
      residual: Spectrum.residual(profile),
    };
  }

  // As it is, without the sliders: for tests, and for the curious in the console.
  window.stalMeasure = async (blob) => {
    const found = measured(centre(await decode(blob), 1024));
    return {
      side: found.side, profile: [...found.profile], U: found.uplift, residual: found.residual,
      score: judged(found.crop, found.side),
    };
  };

  // Drawing -------------------------------------------------------------------------------------

  function drawSpectrum(canvas, spectrum, side) {
    [canvas.width, canvas.height] = [side, side];
    const logs = Float64Array.from(spectrum, Math.log10);
    const sorted = Float64Array.from(logs).sort();
    const low = sorted[Math.floor(0.01 * sorted.length)];
    const high = sorted[Math.floor(0.999 * sorted.length)];
    const image = new ImageData(side, side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) { // frequency 0 in the middle
        const at = ((y + side / 2) % side) * side + ((x + side / 2) % side);
        const grey = 255 * Math.min(1, Math.max(0, (logs[at] - low) / (high - low || 1)));
        image.data.set([grey, grey, grey, 255], 4 * (y * side + x));
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function shape(kind, attributes, text = "") {
    const element = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  }

  // Curve over the band of photographs. x, y, low, high: same length; kept: likewise, or null.
  function drawCurve(svg, { x, y, low, high, kept, xlabel, ylabel, says }) {
    const [width, height, left, right, top, bottom] = [360, 240, 46, 12, 10, 38];
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-label", says);
    const [x0, x1] = [x[0], x.at(-1)];
    const all = [...y, ...low, ...high, ...(kept ?? [])];
    const [y0, y1] = [Math.floor(Math.min(...all)), Math.ceil(Math.max(...all))];
    const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
    const py = (v) => top + ((y1 - v) / (y1 - y0)) * (height - top - bottom);
    const line = (values) => [...values].map((v, i) => `${px(x[i]).toFixed(1)},${py(v).toFixed(1)}`);
    const step = y1 - y0 > 6 ? 2 : 1;
    for (let v = y0; v <= y1; v += step) {
      svg.append(
        shape("line", { x1: left, x2: width - right, y1: py(v), y2: py(v), class: "grid" }),
        shape("text", { x: left - 6, y: py(v) + 4, "text-anchor": "end" }, String(v)));
    }
    for (const v of x1 - x0 > 0.5 ? [0.25, 0.5, 0.75, 1] : [0.7, 0.8, 0.9, 1]) {
      if (v < x0 - 0.02) continue;
      svg.append(shape("text", {
        x: px(Math.min(v, x1)), y: height - bottom + 16, "text-anchor": "middle",
      }, String(v)));
    }
    svg.append(
      shape("polygon", { points: [...line(high), ...line(low).reverse()].join(" "), class: "band" }));
    if (kept) svg.append(shape("polyline", { points: line(kept).join(" "), class: "kept" }));
    svg.append(
      shape("polyline", { points: line(y).join(" "), class: "curve" }),
      shape("text", { x: (left + width) / 2, y: height - 5, "text-anchor": "middle" }, xlabel),
      shape("text", {
        x: 0, y: 0, "text-anchor": "middle",
        transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`,
      }, ylabel));
  }

  const round = (value) => value.toFixed(2);

  // What is to be seen, and what it does not prove.
  function verdict(found, photographs) {
    const usual = photographs["U of photographs"];
    const last = found.tail.length - 1;
    const above = found.residual > photographs.residual[2][0];
    const first = found.profile.length - found.tail.length;
    const tail = found.profile.slice(first);
    const level = tail.reduce((sum, value) => sum + value, 0) / tail.length;
    if (level < photographs.rounding + 0.3) {
      return "The tail is empty, as after blurring or enlarging: what is left is little more " +
        "than rounding to 8 bits. So U means nothing here, and whatever a generator may have " +
        "left there is gone.";
    }
    if (found.uplift > usual) {
      return "The spectrum turns up again at its very end, further than in 95 of 100 squares of " +
        "our photographs. Such an uplift can come from a generator, and also from sharpening, " +
        "enlarging or a lone pattern: it proves nothing.";
    }
    if (found.tail[last] < photographs.tail[0][last]) {
      return "The tail falls further than in nearly all of our photographs, as after blurring, " +
        "enlarging or strong compression. Whatever a generator may have left there is gone: " +
        "this says nothing about where the image comes from.";
    }
    if (above) {
      return "The tail lies further above its own power law than those of nearly all of our " +
        "photographs, but does not turn up at its end. Grain, sharpening and compression do " +
        "that, too: it proves nothing.";
    }
    return "The tail stays where those of photographs stay. Many generators, and nearly all JPEG " +
      "files, have such tails: it does not show that this is a photograph.";
  }

  function show(found) {
    const photographs = known.photographs[found.side];
    const rho = Spectrum.centres(photographs.rings);
    const first = Spectrum.tailStart(photographs.rings);
    const [low, , high] = photographs.profile;
    const [tailLow, , tailHigh] = photographs.tail;
    state.shown = found;
    const kept = state.kept?.side === found.side ? state.kept : null;
    const target = find("crop");
    [target.width, target.height] = [found.side, found.side];
    target.getContext("2d").drawImage(found.crop, 0, 0);
    drawSpectrum(find("spectrum"), found.spectrum, found.side);
    drawCurve(find("profile"), {
      x: rho, y: found.profile, low, high, kept: kept?.profile,
      xlabel: "normalised radius ρ", ylabel: "log₁₀ power / decades",
      says: "Radial profile of the image over the band of photographs.",
    });
    drawCurve(find("tail"), {
      x: rho.slice(first), y: found.tail, low: tailLow, high: tailHigh, kept: kept?.tail,
      xlabel: "normalised radius ρ", ylabel: "c(ρ) / decades",
      says: `Tail of the image, relative to its beginning. It ends at ${round(found.tail.at(-1))} ` +
        `decades; U is ${round(found.uplift)}.`,
    });
    find("size").textContent = `${found.side} × ${found.side} pixels, ${photographs.rings} rings`;
    find("U").textContent = round(found.uplift);
    find("usual").textContent = round(photographs["U of photographs"]);
    find("noise").textContent = round(photographs["U of noise"]);
    find("residual").textContent = round(found.residual);
    find("residual-usual").textContent = round(photographs.residual[1][0]);
    find("verdict").textContent = verdict(found, photographs);
    find("results").hidden = false;
    judgeSoon(found);
  }

  // What the small detector says of the square; it takes a moment, so it waits for the sliders.
  const weights = Detector.unpack(known.detector.tensors);
  let waiting = 0;

  function judged(crop, side) {
    const { data } = crop.getContext("2d").getImageData(0, 0, side, side);
    return Detector.score(data, side, weights);
  }

  function judgeSoon(found) {
    const { name, thresholds } = known.detector;
    clearTimeout(waiting);
    find("decision").textContent = "…";
    waiting = setTimeout(() => {
      const logit = judged(found.crop, found.side);
      const sign = (value) => (value > 0 ? "+" : "") + round(value).replace("-", "−");
      find("decision").textContent = `${Detector.decide(logit, thresholds)}. Its score is ` +
        `${sign(logit)}; ${name} calls ${sign(thresholds.photograph)} and less a photograph, ` +
        `${sign(thresholds.generated)} and more generated, and is unsure between them.`;
    }, 300);
  }

  // The page ------------------------------------------------------------------------------------

  const slider = (name) => Number(find(name).value);

  function label() {
    const quality = slider("quality");
    find("quality-value").textContent = quality > 100 ? "off" : String(quality);
    find("blur-value").textContent = slider("blur") ? `σ ${slider("blur").toFixed(1)}` : "off";
    find("scale-value").textContent = `${Math.round(100 * slider("scale"))} %`;
  }

  async function update() {
    label();
    if (!state.bitmap) return;
    const turn = ++state.turn; // a later change overtakes this one
    try {
      let canvas = centre(state.bitmap, 1024);
      canvas = blurred(scaled(canvas, slider("scale")), slider("blur"));
      canvas = await compressed(canvas, slider("quality"));
      if (turn === state.turn) {
        show(measured(canvas));
        find("message").textContent = `Shown: ${state.name}. ${state.note}`.trim();
      }
    } catch (error) {
      if (turn === state.turn) fail(state.name, error);
    }
  }

  function fail(name, error) {
    find("results").hidden = true;
    find("message").textContent = `${name}: ${error.message}`;
  }

  async function open(blob, name) {
    find("message").textContent = `Reading ${name} …`;
    try {
      const bitmap = await decode(blob);
      state.bitmap?.close();
      [state.bitmap, state.name, state.note] = [bitmap, name, await frames(blob)];
      await update();
    } catch (error) {
      state.turn++;
      fail(name, error);
    }
  }

  async function openFirst(files) {
    if (!files.length) return;
    await open(files[0], files[0].name);
    if (files.length > 1) {
      find("message").textContent += ` One at a time: the other ${files.length - 1} were not read.`;
    }
  }

  function blobOf(address) {
    const [head, body] = address.split(",");
    const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
    return new Blob([bytes], { type: head.slice(5, head.indexOf(";")) });
  }

  find("expect").textContent = known.detector.expect;
  for (const [name, address] of Object.entries(known.examples)) {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    [button.type, picture.src, picture.alt] = ["button", address, ""];
    button.append(picture, name.replaceAll("superresolution", "super\u00adresolution"));
    button.addEventListener("click", () => open(blobOf(address), name));
    find("examples").append(button);
  }
  for (const name of ["quality", "blur", "scale"]) find(name).addEventListener("input", update);
  find("reset").addEventListener("click", () => {
    [find("quality").value, find("blur").value, find("scale").value] = [101, 0, 1];
    update();
  });
  find("keep").addEventListener("click", () => {
    state.kept = state.kept ? null : { ...state.shown, name: state.name };
    find("keep").textContent = state.kept ? "Drop the kept curve" : "Keep this curve";
    find("kept-name").textContent = state.kept ? `Dashed: ${state.kept.name}, as it was kept.` : "";
    if (state.shown) show(state.shown);
  });
  find("file").addEventListener("change", (event) => openFirst(event.target.files));
  page.addEventListener("dragover", (event) => event.preventDefault());
  page.addEventListener("drop", (event) => {
    event.preventDefault();
    openFirst(event.dataTransfer.files);
  });
  label();
  const [name, address] = Object.entries(known.examples)[0];
  open(blobOf(address), name);
})();
