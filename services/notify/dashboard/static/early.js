// Runs before the page is drawn, so that it does not flash in the other theme. The choice stays in this browser.
(() => {
  const KEY = "phoenix-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const show = () => {
    document.documentElement.dataset.bsTheme = chosen() ?? (system.matches ? "dark" : "light");
    document.dispatchEvent(new CustomEvent("phoenix:theme"));
  };
  window.phoenixSwitchTheme = () => {
    const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    try { localStorage.setItem(KEY, next); } catch { /* this page only, then */ }
    document.documentElement.dataset.bsTheme = next;
    document.dispatchEvent(new CustomEvent("phoenix:theme"));
  };
  system.addEventListener("change", show);
  show();
})();
