// The small student that ships, in the browser: nbs/12_student.ipynb, layer by layer.
"use strict";

window.Detector = (() => {
  const GAIN = 24; // of the high-pass

  // A number of 16 bits.
  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    if (exponent === 0) return sign * 2 ** -14 * fraction;
    return sign * 2 ** (exponent - 15) * (1 + fraction);
  }

  // name → { shape, values }, from base64 of 16-bit numbers.
  function unpack(tensors) {
    return Object.fromEntries(Object.entries(tensors).map(([name, { shape, data }]) => {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      return [name, { shape, values: Float32Array.from(new Uint16Array(bytes.buffer), fromHalf) }];
    }));
  }

  // Maps are { planes, size, values }: values of all planes, one after the other.
  function padded(map, plane, pad) {
    const wide = map.size + 2 * pad;
    const result = new Float32Array(wide * wide);
    for (let y = 0; y < map.size; y++) {
      const start = (plane * map.size + y) * map.size;
      result.set(map.values.subarray(start, start + map.size), (y + pad) * wide + pad);
    }
    return result;
  }

  function convolve(map, weight, bias, stride = 1) {
    const [outputs, inputs, kernel] = weight.shape;
    const pad = (kernel - 1) / 2;
    const wide = map.size + 2 * pad;
    const size = Math.floor((wide - kernel) / stride) + 1;
    const values = new Float32Array(outputs * size * size);
    for (let o = 0; o < outputs; o++) {
      values.fill(bias.values[o], o * size * size, (o + 1) * size * size);
    }
    for (let i = 0; i < inputs; i++) {
      const plane = padded(map, i, pad);
      for (let o = 0; o < outputs; o++) {
        for (let dy = 0; dy < kernel; dy++) {
          for (let dx = 0; dx < kernel; dx++) {
            const w = weight.values[((o * inputs + i) * kernel + dy) * kernel + dx];
            for (let y = 0; y < size; y++) {
              const from = (y * stride + dy) * wide + dx;
              const to = (o * size + y) * size;
              for (let x = 0; x < size; x++) values[to + x] += w * plane[from + x * stride];
            }
          }
        }
      }
    }
    return { planes: outputs, size, values };
  }

  const relu = (map) => ({ ...map, values: map.values.map((value) => Math.max(0, value)) });

  // Mean 0 and variance 1 over all planes, then a scale and a shift a plane.
  function normalised(map, scale, shift) {
    const n = map.values.length;
    const mean = map.values.reduce((sum, value) => sum + value, 0) / n;
    const variance = map.values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
    const factor = 1 / Math.sqrt(variance + 1e-5);
    const area = map.size * map.size;
    const values = map.values.map((value, k) => {
      const plane = Math.floor(k / area);
      return (value - mean) * factor * scale.values[plane] + shift.values[plane];
    });
    return { ...map, values };
  }

  // Mean of 2 × 2 pixels.
  function halved(map) {
    const size = map.size / 2;
    const values = new Float32Array(map.planes * size * size);
    for (let plane = 0; plane < map.planes; plane++) {
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          const at = (plane * map.size + 2 * y) * map.size + 2 * x;
          const below = at + map.size;
          const sum = map.values[at] + map.values[at + 1] + map.values[below] + map.values[below + 1];
          values[(plane * size + y) * size + x] = sum / 4;
        }
      }
    }
    return { planes: map.planes, size, values };
  }

  // act(skip + conv act(norm(conv))), at half the resolution.
  function stage(map, weights, name) {
    const of = (part) => weights[`${name}.${part}`];
    let inner = convolve(map, of("first.weight"), of("first.bias"), 2);
    inner = relu(normalised(inner, of("norm.weight"), of("norm.bias")));
    inner = convolve(inner, of("second.weight"), of("second.bias"));
    const skip = convolve(halved(map), of("skip.weight"), of("skip.bias"));
    return relu({ ...inner, values: inner.values.map((value, k) => value + skip.values[k]) });
  }

  // The image minus the mean of its 3 × 3 neighbourhood, at the border of those that exist.
  function highPass(rgba, size) {
    const values = new Float32Array(3 * size * size);
    for (let channel = 0; channel < 3; channel++) {
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          let [sum, count] = [0, 0];
          for (let v = Math.max(0, y - 1); v <= Math.min(size - 1, y + 1); v++) {
            for (let u = Math.max(0, x - 1); u <= Math.min(size - 1, x + 1); u++) {
              sum += rgba[4 * (v * size + u) + channel];
              count += 1;
            }
          }
          const here = rgba[4 * (y * size + x) + channel];
          values[(channel * size + y) * size + x] = ((here - sum / count) / 255) * GAIN;
        }
      }
    }
    return { planes: 3, size, values };
  }

  // Logit of a square: above 0 speaks for generated.
  function score(rgba, size, weights) {
    let map = highPass(rgba, size);
    map = relu(convolve(map, weights["body.net.0.weight"], weights["body.net.0.bias"]));
    map = stage(stage(map, weights, "body.net.2"), weights, "body.net.3");
    const area = map.size * map.size;
    const head = weights["head.weight"].values;
    let logit = weights["head.bias"].values[0];
    for (let plane = 0; plane < map.planes; plane++) {
      const part = map.values.subarray(plane * area, (plane + 1) * area);
      logit += (head[plane] * part.reduce((sum, value) => sum + value, 0)) / area;
    }
    return logit;
  }

  // Its decision, as the card's thresholds have it.
  function decide(logit, thresholds) {
    if (logit >= thresholds.generated) return "generated";
    return logit <= thresholds.photograph ? "photograph" : "unsure";
  }

  return { unpack, score, decide };
})();
