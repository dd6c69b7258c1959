// The theme that was chosen in Airflow's own UI; without a choice the system's. Loaded before the page is drawn.
(() => {
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch {
      // a browser that keeps nothing: the system's theme
    }
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
  };
  apply();
  addEventListener("storage", (event) => {
    if (event.key !== "theme") return;
    apply();
    document.dispatchEvent(new Event("theme"));
  });
})();
