(() => {
  const all = (what, of = document) => [...of.querySelectorAll(what)];
  for (const part of all(".needs-script, .save, .show-rest")) part.hidden = false;

  // Create exported files in the browser, because there is no server.
  const mark = document.documentElement.dataset.synthetic ?? "";
  const save = (name, text, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type })); link.download = name; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 9000);
  };
  const PROPERTIES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-size", "font-family", "vector-effect"];
  const drawing = (figure) => {
    const svg = figure.querySelector("svg"), copy = svg.cloneNode(true), [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const targets = all("*", copy);
    all("*", svg).forEach((part, at) => { const style = getComputedStyle(part); for (const name of PROPERTIES) targets[at].setAttribute(name, style.getPropertyValue(name)); });
    const title = figure.querySelector(".title").textContent, head = mark ? 120 : 70;
    const line = (text, y) => { const part = document.createElementNS(svg.namespaceURI, "text"); part.setAttribute("x", 20); part.setAttribute("y", y); part.setAttribute("font-size", 30); part.setAttribute("font-family", "sans-serif"); part.setAttribute("fill", getComputedStyle(document.body).color); part.textContent = text; copy.append(part); };
    line(title, 40 - head); if (mark) line(mark.slice(0, 70), 85 - head);
    copy.setAttribute("viewBox", `0 ${-head} ${width} ${height + head}`); copy.setAttribute("width", 500); copy.setAttribute("xmlns", svg.namespaceURI);
    copy.setAttribute("style", `background:${getComputedStyle(figure).backgroundColor}`);
    return copy.outerHTML;
  };
  const commented = (text, sign) => mark && !text.startsWith(sign) ? `${sign} ${mark}\n${text}` : text;
  for (const button of all("[data-save]")) button.addEventListener("click", () => {
    const figure = button.closest("figure"), key = figure.dataset.key.replace(/[^\w-]+/g, "_");
    if (button.dataset.save === "svg") save(`${key}.svg`, drawing(figure), "image/svg+xml");
    else save(`${key}.csv`, commented(figure.querySelector("template.csv").content.textContent, "#"), "text/csv");
  });
  const textOf = (id) => { const part = document.getElementById(id); return (part.content ?? part).textContent; };
  for (const button of all("[data-file]")) button.addEventListener("click", () => save(button.dataset.file, commented(textOf(button.dataset.from), button.dataset.file.endsWith("tex") ? "%" : "#"), "text/plain"));
  for (const button of all("[data-copy]")) button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).innerText;
    try { await navigator.clipboard.writeText(text); } catch { save("methods.txt", text, "text/plain"); }
  });

  // Highlight a setting of the legend in all charts.
  for (const key of all(".key")) key.addEventListener("click", () => {
    const on = key.getAttribute("aria-pressed") !== "true", name = key.dataset.name;
    for (const other of all(".key")) other.setAttribute("aria-pressed", on && other === key);
    for (const grid of all(".charts")) { grid.classList.toggle("focusing", on); for (const part of all("[data-name]", grid)) part.classList.toggle("on", on && part.dataset.name === name); }
  });

  // Compute predictive values at the prevalence that is typed.
  const prevalence = document.getElementById("prevalence");
  prevalence?.addEventListener("input", () => {
    const share = Number(prevalence.value) / 100, show = (part, other) => part + other > 0 ? `${Math.round(100 * part / (part + other))}%` : "–";
    if (!(share > 0 && share < 1)) return;
    for (const row of all(".points tbody tr")) {
      if (!row.dataset.sensitivity || !row.dataset.specificity) continue;
      const found = Number(row.dataset.sensitivity), spared = Number(row.dataset.specificity);
      row.querySelector(".ppv").textContent = show(found * share, (1 - spared) * (1 - share));
      row.querySelector(".npv").textContent = show(spared * (1 - share), (1 - found) * share);
    }
  });

  // Show the outcomes of a gallery as tabs, and further images on demand.
  for (const gallery of all(".gallery")) {
    const panels = all(".panel", gallery);
    if (!panels.length) continue;
    gallery.classList.add("tabbed");
    const bar = document.createElement("div"); bar.className = "tabs"; bar.setAttribute("role", "tablist"); bar.setAttribute("aria-label", gallery.querySelector("h3").textContent);
    const tabs = panels.map((panel) => {
      const tab = document.createElement("button"); tab.type = "button"; tab.id = `${panel.id}-tab`; tab.textContent = panel.dataset.title;
      tab.setAttribute("role", "tab"); tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel"); panel.setAttribute("aria-labelledby", tab.id); bar.append(tab); return tab;
    });
    const select = (at, focus) => { tabs.forEach((tab, number) => { tab.setAttribute("aria-selected", number === at); tab.tabIndex = number === at ? 0 : -1; panels[number].hidden = number !== at; }); if (focus) tabs[at].focus(); };
    tabs.forEach((tab, at) => {
      tab.addEventListener("click", () => select(at));
      tab.addEventListener("keydown", (event) => { const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]; if (step) select((at + step + tabs.length) % tabs.length, true); });
    });
    panels[0].before(bar); select(0);
    for (const more of all(".show-rest", gallery)) more.addEventListener("click", () => { const rest = more.previousElementSibling; rest.previousElementSibling.append(rest.content); more.remove(); });
    gallery.addEventListener("click", (event) => { const stack = event.target.closest(".stack"); if (stack) stack.classList.toggle("large"); });
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") for (const stack of all(".stack.large")) stack.classList.remove("large"); });
})();
