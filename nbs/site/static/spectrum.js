// The instrument of the book, in the browser: nbs/02_spectrum.ipynb and nbs/03_tail.ipynb.
// Same names, same symbols, same numbers; tests/site compares them with stal.
"use strict";

window.Spectrum = (() => {
  const LUMA = [0.299, 0.587, 0.114];
  const EPSILON = 1e-12; // power added before the logarithm
  const TAIL = 0.7; // normalised radius at which the tail begins

  // Brightness of pixels, from 0 to 1. rgba: bytes; size: side of the square.
  function luminance(rgba) {
    const plane = new Float64Array(rgba.length / 4);
    for (let i = 0; i < plane.length; i++) {
      const [red, green, blue] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
      plane[i] = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue) / 255;
    }
    return plane;
  }

  // Hann's window, both ends 0.
  function hann(size) {
    return Float64Array.from({ length: size }, (_, i) =>
      0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (size - 1)));
  }

  // Fast Fourier transform of one row, in place. size is a power of two.
  function fft(re, im) {
    const size = re.length;
    for (let i = 1, j = 0; i < size; i++) { // bits in reverse order
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let length = 2; length <= size; length *= 2) {
      const half = length / 2;
      for (let k = 0; k < half; k++) {
        const angle = (-2 * Math.PI * k) / length;
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let i = k; i < size; i += length) {
          const j = i + half;
          const [x, y] = [re[j] * c - im[j] * s, re[j] * s + im[j] * c];
          [re[j], im[j]] = [re[i] - x, im[i] - y];
          [re[i], im[i]] = [re[i] + x, im[i] + y];
        }
      }
    }
  }

  // Power |F|² + ε of all coefficients, [size × size], frequency 0 first.
  function power(plane, size) {
    const mean = plane.reduce((sum, value) => sum + value, 0) / plane.length;
    const window = hann(size);
    const re = new Float64Array(plane.length);
    const im = new Float64Array(plane.length);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const i = y * size + x;
        re[i] = ((plane[i] - mean) * window[y] * window[x]) / size; // orthonormal
      }
      fft(re.subarray(y * size, (y + 1) * size), im.subarray(y * size, (y + 1) * size));
    }
    const [column, other] = [new Float64Array(size), new Float64Array(size)];
    const result = new Float64Array(plane.length);
    for (let x = 0; x < size; x++) {
      for (let y = 0; y < size; y++) [column[y], other[y]] = [re[y * size + x], im[y * size + x]];
      fft(column, other);
      for (let y = 0; y < size; y++) {
        result[y * size + x] = column[y] ** 2 + other[y] ** 2 + EPSILON;
      }
    }
    return result;
  }

  // Ring of a coefficient: 0 at frequency 0, rings − 1 in the corner.
  function ringOf(y, x, size, rings) {
    const v = Math.min(y, size - y) / size;
    const u = Math.min(x, size - x) / size;
    return Math.min(Math.floor(Math.sqrt(2 * (u * u + v * v) * rings * rings)), rings - 1);
  }

  // r(ρ): mean of log10 power over rings, in decades.
  function radialProfile(plane, size, rings, spectrum = power(plane, size)) {
    const sums = new Float64Array(rings);
    const counts = new Float64Array(rings);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const ring = ringOf(y, x, size, rings);
        sums[ring] += Math.log10(spectrum[y * size + x]);
        counts[ring] += 1;
      }
    }
    return sums.map((sum, ring) => sum / counts[ring]);
  }

  // Middle of each ring, as a normalised radius ρ.
  const centres = (rings) => Float64Array.from({ length: rings }, (_, i) => (i + 0.5) / rings);

  const tailStart = (rings) => Math.ceil(TAIL * rings - 1e-9);

  // c(ρ) = r(ρ) − r(start), over the tail.
  function tailCurve(profile) {
    const tail = profile.slice(tailStart(profile.length));
    return tail.map((value) => value - tail[0]);
  }

  // U = c(1) − min c: how far the spectrum has risen again at its end.
  function uplift(profile) {
    const c = tailCurve(profile);
    return c[c.length - 1] - Math.min(...c);
  }

  // Power law r(ρ) = level − exponent · log10 ρ, fitted from 0.1 to 0.6.
  function powerLaw(profile) {
    const rho = centres(profile.length);
    const band = [...rho.keys()].filter((i) => rho[i] >= 0.1 && rho[i] <= 0.6);
    const x = band.map((i) => Math.log10(rho[i]));
    const y = band.map((i) => profile[i]);
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [mx, my] = [mean(x), mean(y)];
    const slope = x.reduce((sum, value, k) => sum + (value - mx) * (y[k] - my), 0) /
      x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
    const level = my - slope * mx;
    const law = Float64Array.from(rho, (radius) => level + slope * Math.log10(radius));
    return { exponent: -slope, law };
  }

  // How far the tail lies above its own law, on average.
  function residual(profile) {
    const { law } = powerLaw(profile);
    const first = tailStart(profile.length);
    const over = Array.from(profile.slice(first), (value, k) => value - law[first + k]);
    return over.reduce((sum, value) => sum + value, 0) / over.length;
  }

  return {
    luminance, hann, fft, power, radialProfile, centres, tailStart, tailCurve, uplift, powerLaw,
    residual,
  };
})();
