// Charts and tables as files: SVG with its colours written in, PNG drawn from that, text that no spreadsheet runs.

const KEPT = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-linejoin", "font-family", "font-size", "font-weight",
  "text-anchor",
];
const SHARPNESS = 2;

/** Hand a file out under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Return a picture of the page as SVG that looks the same elsewhere. */
export function standalone(picture) {
  const copy = picture.cloneNode(true);
  const [shown, parts] = [picture, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  shown.forEach((element, index) => {
    const style = getComputedStyle(element);
    for (const name of KEPT) parts[index].setAttribute(name, style.getPropertyValue(name));
    parts[index].removeAttribute("class");
  });
  const ground = document.createElementNS(copy.namespaceURI, "rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: groundOf(picture) })) {
    ground.setAttribute(name, value);
  }
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

/** Return the first colour behind an element that is not transparent. */
function groundOf(element) {
  for (let each = element; each; each = each.parentElement) {
    const colour = getComputedStyle(each).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)" && colour !== "transparent") return colour;
  }
  return "#ffffff";
}

/** Return a picture as PNG. */
export async function drawn(picture) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(picture))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.width.baseVal.value * SHARPNESS;
  canvas.height = picture.height.baseVal.value * SHARPNESS;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture cannot be drawn"))), "image/png");
  });
}

/** Return the buttons that hand a picture out. */
export function buttonsOf(picture, title) {
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "chart";
  const box = document.createElement("p");
  box.className = "pictures";
  for (const [kind, made] of [
    ["SVG", async () => new Blob([standalone(picture)], { type: "image/svg+xml" })],
    ["PNG", () => drawn(picture)],
  ]) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain small";
    button.textContent = kind;
    button.setAttribute("aria-label", `Download ${title} as ${kind}`);
    button.addEventListener("click", async () => save(await made(), `${name}.${kind.toLowerCase()}`));
    box.append(button);
  }
  return box;
}

/** Tell whether a spreadsheet would take a cell for a formula; numbers with a sign are none. */
export const isFormula = (cell) => /^[=+\-@\t\r]/.test(cell) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell);

/** Return a cell that no spreadsheet runs: an apostrophe in front of what would be a formula. */
export const harmless = (cell) => (isFormula(cell) ? `'${cell}` : cell);
