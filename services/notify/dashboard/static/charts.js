// Draws the equity curve and the candles. Data comes as JSON from the feeds and, live, as events of dashboard.js.
(() => {
  "use strict";

  const CANDLES_EVERY_MS = 20000;
  const EQUITY_EVERY_MS = 60000;
  const { createChart, createSeriesMarkers, AreaSeries, CandlestickSeries, LineStyle, ColorType, CrosshairMode } = LightweightCharts;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--phoenix-${name}`).trim();
  const offsetS = -new Date().getTimezoneOffset() * 60; // the library shows UTC: move points into the viewer's zone
  const local = (point) => ({ ...point, time: point.time + offsetS });

  const looks = () => ({
    layout: {
      background: { type: ColorType.Solid, color: "transparent" },
      textColor: colour("muted"),
      fontFamily: getComputedStyle(document.body).fontFamily,
      attributionLogo: false, // it would need an inline style; the footer has the notice and the link
    },
    grid: { vertLines: { color: colour("grid") }, horzLines: { color: colour("grid") } },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
    crosshair: { mode: CrosshairMode.Normal },
  });

  const make = (element) => {
    const chart = createChart(element, { autoSize: true, ...looks() });
    document.addEventListener("phoenix:theme", () => chart.applyOptions(looks()));
    return chart;
  };

  const read = async (address) => {
    try {
      const answer = await fetch(address, { cache: "no-store" });
      return answer.ok ? await answer.json() : null;
    } catch { return null; } // the header says that the connection is lost
  };

  const sayNone = (element, isEmpty) => element.classList.toggle("is-empty", isEmpty);

  const press = (buttons, pressed) => {
    for (const button of buttons) {
      button.classList.toggle("active", button === pressed);
      button.setAttribute("aria-pressed", String(button === pressed));
    }
  };

  const equity = (element) => {
    const chart = make(element);
    const look = () => ({ lineColor: colour("accent"), topColor: colour("accent-top"), bottomColor: colour("accent-bottom"), lineWidth: 2, priceLineVisible: false });
    const series = chart.addSeries(AreaSeries, look());
    document.addEventListener("phoenix:theme", () => series.applyOptions(look()));
    const buttons = [...document.querySelectorAll("[data-span]")];
    let span = "1d";
    let newest = 0;
    const draw = async () => {
      const wanted = span;
      const points = await read(`/dashboard/feeds/equity?span=${wanted}`);
      if (points === null || wanted !== span) return;
      series.setData(points.map(local));
      newest = points.at(-1)?.time ?? 0;
      sayNone(element, points.length === 0);
      chart.timeScale().fitContent();
    };
    for (const button of buttons) button.addEventListener("click", () => { span = button.dataset.span; press(buttons, button); draw(); });
    document.addEventListener("phoenix:equity", ({ detail }) => {
      if (detail.time < newest) return;
      newest = detail.time;
      sayNone(element, false);
      series.update(local(detail));
    });
    draw();
    setInterval(draw, EQUITY_EVERY_MS);
  };

  const candles = (element) => {
    const symbol = element.dataset.symbol;
    if (!symbol) return sayNone(element, true);
    const chart = make(element);
    const look = () => ({ upColor: colour("up"), downColor: colour("down"), wickUpColor: colour("up"), wickDownColor: colour("down"), borderVisible: false });
    const series = chart.addSeries(CandlestickSeries, look());
    const markers = createSeriesMarkers(series, []);
    const buttons = [...document.querySelectorAll("[data-minutes]")];
    let minutes = 1;
    let lines = [];
    let last = null;
    let shown = null;
    let levels = {};
    let isWide = false;
    // Stop and target belong to the picture; the liquidation price is far and only on request.
    series.applyOptions({ autoscaleInfoProvider: (original) => {
      const found = original();
      const prices = ["entry", "stop", "target", ...(isWide ? ["liquidation"] : [])].map((name) => levels[name]).filter((price) => price != null);
      if (!found?.priceRange || !prices.length) return found;
      const { minValue, maxValue } = found.priceRange;
      return { ...found, priceRange: { minValue: Math.min(minValue, ...prices), maxValue: Math.max(maxValue, ...prices) } };
    } });
    const STYLES = { entry: ["accent", LineStyle.Solid], stop: ["down", LineStyle.Dashed], target: ["up", LineStyle.Dashed], liquidation: ["liquidation", LineStyle.Dotted] };
    const drawLevels = () => {
      lines.forEach((line) => series.removePriceLine(line));
      lines = Object.entries(levels).filter(([, price]) => price !== null).map(([name, price]) => {
        const [tone, lineStyle] = STYLES[name];
        return series.createPriceLine({ price, color: colour(tone), lineStyle, lineWidth: 1, title: element.dataset[name], axisLabelVisible: true });
      });
    };
    const drawFills = (fills) => markers.setMarkers(fills.map((fill) => {
      const isBuy = fill.side === "buy";
      return { time: fill.time + offsetS, position: isBuy ? "belowBar" : "aboveBar", shape: isBuy ? "arrowUp" : "arrowDown", color: colour(isBuy ? "up" : "down"), text: fill.text };
    }));
    const places = (price) => (price >= 1000 ? 2 : price >= 10 ? 3 : 5);
    const draw = async () => {
      const wanted = minutes;
      const found = await read(`/dashboard/feeds/candles?symbol=${encodeURIComponent(symbol)}&minutes=${wanted}`);
      if (found === null || wanted !== minutes) return;
      const data = found.candles.map(local);
      if (data.length) {
        const precision = places(data.at(-1).close);
        series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
      }
      series.setData(data);
      last = data.at(-1) ?? null;
      sayNone(element, data.length === 0);
      levels = found.levels;
      drawLevels();
      drawFills(found.fills);
      const key = `${wanted}`;
      if (shown !== key && data.length) { chart.timeScale().setVisibleLogicalRange({ from: data.length - 120, to: data.length + 6 }); shown = key; }
    };
    for (const button of buttons) button.addEventListener("click", () => { minutes = Number(button.dataset.minutes); press(buttons, button); draw(); });
    const wide = document.querySelector("[data-wide]");
    wide.addEventListener("click", () => {
      isWide = !isWide;
      wide.classList.toggle("active", isWide);
      wide.setAttribute("aria-pressed", String(isWide));
      draw();
    });
    document.addEventListener("phoenix:theme", () => { series.applyOptions(look()); draw(); });
    document.addEventListener("phoenix:tick", ({ detail }) => {
      const price = Number(detail.last);
      const seconds = Math.floor(Date.parse(detail.at) / 1000);
      const time = seconds - (seconds % (minutes * 60)) + offsetS;
      if (last !== null && time < last.time) return;
      const isSame = last !== null && last.time === time;
      last = isSame
        ? { ...last, close: price, high: Math.max(last.high, price), low: Math.min(last.low, price) }
        : { time, open: price, high: price, low: price, close: price };
      sayNone(element, false);
      series.update(last);
    });
    draw();
    setInterval(draw, CANDLES_EVERY_MS);
  };

  const equityElement = document.getElementById("equity-chart");
  const priceElement = document.getElementById("price-chart");
  if (equityElement) equity(equityElement);
  if (priceElement) candles(priceElement);
})();
