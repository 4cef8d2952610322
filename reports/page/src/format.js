// Numbers as people read them; what is not known is a dash.

const kNothing = "–";

export function number(value, digits = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return kNothing;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// Counts of the report are -1 where they are not known.
export const count = (value) => (value === undefined || value === null || value < 0 ? kNothing : number(value));

// Three figures that mean something, whatever the size.
export function us(value) {
  if (!(value > 0)) return kNothing;
  return number(value, value < 1 ? 3 : value < 100 ? 2 : 1);
}

const sign = (value, text) => (value > 0 ? `+${text}` : value < 0 ? `−${text}` : text);

export function signed(value, digits = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return kNothing;
  const text = number(Math.abs(value), digits);
  return Number(text.replaceAll(",", "")) === 0 ? text : sign(value, text);
}

export function change(ratio, digits = 1) {
  return ratio === null || ratio === undefined ? kNothing : `${signed(100 * (ratio - 1), digits)} %`;
}

// 0.07 as "7 %", of which binary fractions would make 7.000000000000001.
export const share = (value) => `${Number((100 * value).toPrecision(6))} %`;

export const times = (value) => (value > 0 ? `${number(value, value < 10 ? 2 : 1)}×` : kNothing);

export const interval = (of) =>
  !of || of.low === null || of.low === undefined ? kNothing : `${signed(100 * (of.low - 1))} to ${signed(100 * (of.high - 1))} %`;

// "160 → 176", or the one number that both are.
export function fromTo(before, now, form = count) {
  const [a, b] = [form(before), form(now)];
  return a === b ? a : `${a} → ${b}`;
}

export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export const parameterText = (value) => (value === null || value === undefined ? kNothing : String(value));
