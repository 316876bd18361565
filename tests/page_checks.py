"""Checks of a page that run inside the browser: JavaScript for `page.evaluate`."""

#: How many points have their marker away from the area that the pointer reaches.
ASTRAY = """() => {
  const middle = (element) => {
    const box = element.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  return [...document.querySelectorAll(".point")].filter((point) => {
    const [x, y] = middle(point.querySelector(".marker"));
    const [wantedX, wantedY] = middle(point.querySelector(".hit"));
    return Math.hypot(x - wantedX, y - wantedY) > 2;
  }).length;
}"""

#: Levels at the head of several rows that are broken over lines.
BROKEN = """() => [...document.querySelectorAll("th[scope=rowgroup]")]
  .map((cell) => { const text = document.createRange(); text.selectNodeContents(cell); return text; })
  .filter((text) => text.getClientRects().length > 1)
  .map(String)"""

#: Red, green and blue of the background.
BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor.match(/[0-9.]+/g).slice(0, 3).map(Number)"

#: Text with a contrast below 4.5 : 1 (WCAG 2, AA).
TOO_FAINT = """() => {
  const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const luminance = (colour) => numbers(colour).slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [luminance(ink), luminance(behind(element))].sort((one, other) => one - other);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(`${element.className}: ${element.textContent.trim()}`);
  }
  return faint;
}"""

#: Language, levels of headings, elements without a name for screen readers, ids that occur twice.
STRUCTURE = """() => {
  const all = (what) => [...document.querySelectorAll(what)];
  const ids = all("[id]").map((element) => element.id);
  return {
    lang: document.documentElement.lang,
    levels: all("h1, h2, h3, h4").map((heading) => Number(heading.tagName[1])),
    unnamed: [
      ...all("table").filter((table) => !table.caption),
      ...all("th").filter((cell) => !cell.scope),
      ...all("img").filter((image) => image.getAttribute("alt") === null),
      ...all("a, button, .point").filter((one) => !one.textContent.trim() && !one.getAttribute("aria-label")),
      ...all("select, input:not([type=hidden])").filter((field) => !field.labels.length),
    ].map((element) => element.outerHTML),
    twice: ids.filter((id, at) => ids.indexOf(id) !== at),
  };
}"""

#: The element that has the focus: its number among all that can have it, and whether its focus is visible.
FOCUS = """() => {
  const element = document.activeElement;
  const all = [...document.querySelectorAll("main a, main input, main .point, main .scroll")];
  if (!all.includes(element)) return null;
  const hit = element.querySelector(".hit");
  const marked = hit ? getComputedStyle(hit).strokeWidth === "2px" : getComputedStyle(element).outlineStyle !== "none";
  const inside = [...document.querySelectorAll("main a, main input, main .point")];
  return { number: inside.indexOf(element), marked, what: element.outerHTML };
}"""
