(() => {
  const root = document.documentElement, all = (what, of = document) => [...of.querySelectorAll(what)];
  const narrow = matchMedia("(max-width: 600px)");

  // Show the controls that need this script.
  for (const part of all(".tools, .filter, .metric")) part.hidden = false;
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.getElementById("theme")?.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; });
  const top = document.querySelector(".top");
  const measure = () => root.style.setProperty("--top", getComputedStyle(top).position === "sticky" ? `${top.offsetHeight}px` : "0px");
  addEventListener("resize", measure); measure();

  // Open and close the rows of settings.
  const openRow = (button, open) => {
    button.setAttribute("aria-expanded", open);
    document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
  };
  for (const button of all(".opener")) {
    openRow(button, false);
    button.addEventListener("click", () => openRow(button, button.getAttribute("aria-expanded") !== "true"));
  }

  // On a narrow screen, each setting has its own axis.
  for (const table of all("table.settings")) {
    const ticks = table.querySelector("th.forest .ticks");
    for (const cell of all("td.forest", table)) cell.append(ticks.cloneNode(true));
  }

  // Fold long tables, and on a narrow screen also the sections.
  const tables = all("table.settings"), more = document.querySelector("p.more");
  for (const table of tables) table.classList.add("folded", "narrow");
  for (const table of all(".gaps")) table.classList.add("narrow");
  const offer = () => { if (more && tables[0]) more.hidden = !(tables[0].classList.contains("narrow") && (tables[0].querySelector(".extra") || narrow.matches && tables[0].querySelector(".sixth"))); };
  more?.querySelector("button").addEventListener("click", () => { for (const table of tables) table.classList.remove("folded", "narrow"); offer(); });
  const fold = () => { for (const part of all("details.fold")) part.open = !narrow.matches || ["settings"].includes(part.parentNode.id); offer(); };
  narrow.addEventListener("change", fold); fold();
  const reach = () => { const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1))); if (!target) return; for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true; const inner = target.querySelector(":scope > details"); if (inner) inner.open = true; target.scrollIntoView(); };
  addEventListener("hashchange", reach); reach();

  // Sort the settings within each block, and the rows of other tables.
  const key = (row, at) => { const cell = row.cells[at]; return cell ? cell.dataset.sort ?? cell.textContent.trim() : ""; };
  const compare = (a, b) => { const d = Number(a) - Number(b); return Number.isNaN(d) ? a.localeCompare(b) : d; };
  for (const table of all("table.settings, table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head || !event.target.closest("button")) return;
      const now = head.getAttribute("aria-sort"), falls = head.classList.contains("number") || table.classList.contains("settings") && head.cellIndex > 0;
      const up = now ? now === "descending" : !falls, at = head.cellIndex;
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const sorted = (items, row) => [...items].sort((a, b) => (up ? 1 : -1) * compare(key(row(a), at), key(row(b), at)));
      if (table.classList.contains("settings")) {
        table.classList.toggle("resorted", at !== Number(table.dataset.by) || up);
        let part = [];
        const place = (end) => { for (const one of sorted(part, (body) => body.rows[0])) table.insertBefore(one, end); part = []; };
        for (const body of [...table.tBodies]) { if (body.classList.contains("setting")) part.push(body); else place(body); }
        place(null);
      } else table.tBodies[0].append(...sorted(table.tBodies[0].rows, (row) => row));
    });
  }

  // Show the settings whose name, model, annotations or tags contain all words of the filter.
  const filter = document.getElementById("filter");
  filter?.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const table of tables) {
      table.classList.toggle("folded", !words.length && table.classList.contains("narrow"));
      for (const body of all(".setting", table)) { const text = body.rows[0].cells[0].textContent.toLowerCase(); body.hidden = !words.every((word) => text.includes(word)); }
    }
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && filter && !event.target.closest("input, select, textarea")) { event.preventDefault(); filter.focus(); }
    if (event.key === "Escape" && event.target === filter) { filter.value = ""; filter.dispatchEvent(new Event("input")); filter.blur(); }
  });

  // Replace macro AUC by another metric in the plot and in the columns of the splits.
  const metric = document.getElementById("metric"), first = tables[0];
  if (metric && first) {
    const values = JSON.parse(document.getElementById("metrics").textContent), lines = all(".setting", first);
    const parts = [...lines.flatMap((line) => all("td.forest, td.value", line.rows[0])), first.querySelector("th.forest")];
    const before = parts.map((part) => [part.innerHTML, part.dataset.sort]);
    const write = (value) => value.toFixed(3).replace("-", "−");
    metric.addEventListener("change", () => {
      parts.forEach((part, at) => { part.innerHTML = before[at][0]; if (before[at][1]) part.dataset.sort = before[at][1]; });
      const other = metric.value !== "macro AUC";
      for (const part of all(".references", first)) part.hidden = other;
      if (!other) return;
      const chosen = values[metric.value], numbers = chosen.flat(2).filter((one) => one !== null);
      const low = Math.min(...numbers), span = Math.max(...numbers) - low || 0.1, at = (value) => 4 + 92 * (value - low) / span;
      const ticks = [0, 0.5, 1].map((share) => `<span style="left:${4 + 92 * share}%">${(low + share * span).toFixed(2)}</span>`).join("");
      first.querySelector("th.forest b").textContent = metric.value;
      for (const one of all(".forest .ticks", first)) one.innerHTML = ticks;
      lines.forEach((line, place) => {
        const row = line.rows[0], said = [];
        for (const one of all(".forest u, .forest s", row)) one.remove();
        chosen[place].forEach((found, split) => {
          const lane = all(".forest .lane", row)[split], cell = all("td.value", row)[split], label = cell.querySelector(".label").outerHTML;
          const ends = found && found[1] !== null && found[2] !== null;
          lane.innerHTML = found ? (ends ? `<i style="left:${at(found[1])}%;width:${at(found[2]) - at(found[1])}%"></i>` : "") + `<b style="left:${at(found[0])}%"></b>` : "";
          const text = found ? `<b>${write(found[0])}</b>` + (ends ? ` <small>${write(found[1])} to ${write(found[2])}</small>` : "") : "not computed";
          cell.innerHTML = label + text;
          cell.dataset.sort = found ? found[0] : -9;
          said.push(cell.textContent);
        });
        row.querySelector(".forest .plot").setAttribute("aria-label", `${metric.value}: ${said.join("; ")}`);
      });
    });
  }

  // Mark the visible section in the header.
  const links = new Map(all(".top nav a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { for (const link of links.values()) link.removeAttribute("aria-current"); links.get(entry.target.id)?.setAttribute("aria-current", "true"); }
  }, { rootMargin: "-25% 0px -70% 0px" });
  for (const section of all("main > section")) watch.observe(section);

  // Print all sections, with the runs of the selected settings.
  addEventListener("beforeprint", () => {
    for (const part of all("details")) part.open = true;
    for (const button of all(".selected .opener")) openRow(button, true);
  });
})();
