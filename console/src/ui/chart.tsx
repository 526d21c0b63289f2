import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock, date, day } from "../formats/formats";
import { t } from "../strings";
import styles from "./chart.module.css";
import { stacked } from "./stacked";

interface Series {
  label: string;
  /** One of the tokens of colours. */
  color: string;
  values: readonly (number | null)[];
  dash?: readonly number[];
}

export interface Mark {
  /** Seconds since 1970. */
  at: number;
  label: string;
}

export interface ChartProps {
  /** What it shows, in a sentence for those who do not see it. */
  sentence: string;
  /** Seconds since 1970. */
  times: readonly number[];
  /** The first and the last moment of the axis. */
  between: readonly [number, number];
  series: readonly Series[];
  format: (value: number) => string;
  marks?: readonly Mark[];
  /** Each series begins where the one before it ends, and the area between is filled. */
  isStacked?: boolean;
}

const HEIGHT = 200;
const AXIS_WIDTH = 64;
const DAY_SECONDS = 86_400;

/** Lines over time. It is drawn again when the theme or the width changes. */
export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const { sentence } = props;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let plot = draw(element, props);
    const again = () => {
      plot.destroy();
      plot = draw(element, props);
    };
    const resized = new ResizeObserver(() => {
      if (element.clientWidth !== plot.width) plot.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    resized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    const themed = new MutationObserver(again);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      resized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", again);
      plot.destroy();
    };
  }, [props]);
  return (
    <div className={styles.frame}>
      <div ref={box} className={styles.chart} role="img" aria-label={sentence} />
    </div>
  );
}

function draw(element: HTMLElement, props: ChartProps): uPlot {
  const { times, between, format, marks = [], isStacked = false } = props;
  const sums = isStacked ? stacked(props.series.map(({ values }) => values)) : [];
  // The highest area is drawn first: each covers a part of the one before.
  const series = props.series.map((one, at) => ({ ...one, drawn: sums[at] ?? one.values }));
  if (isStacked) series.reverse();
  const color = colorsOf(element);
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 } };
  return new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      cursor: { y: false },
      legend: { live: true },
      scales: {
        x: { range: () => [...between] },
        y: { range: (_, _min, max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: [
        { ...axis, values: (_, moments, _axis, _space, step) => moments.map((at) => momentOf(at, step)) },
        { ...axis, size: AXIS_WIDTH, values: (_, values) => values.map(format) },
      ],
      series: [
        {
          label: t.common.time,
          value: (_: uPlot, at: number | null) =>
            at === null ? t.common.unknown : date(new Date(at * 1000)),
        },
        ...series.map(({ label, color: token, dash, values }) => ({
          label,
          stroke: color(token),
          width: 2,
          spanGaps: false,
          points: { show: times.length < 60 },
          ...(isStacked ? { fill: color(token) } : {}),
          value: (_plot: uPlot, _drawn: number | null, _series: number, at: number | null) => {
            const value = at === null ? null : (values[at] ?? null);
            return value === null ? t.common.unknown : format(value);
          },
          ...(dash ? { dash: [...dash] } : {}),
        })),
      ],
      hooks: { draw: [(plot) => drawMarks(plot, marks, color("--draft"))] },
    },
    [[...times], ...series.map(({ drawn }) => [...drawn])] as uPlot.AlignedData,
    element,
  );
}

function momentOf(seconds: number, step: number): string {
  const time = new Date(seconds * 1000);
  return step < DAY_SECONDS ? clock(time) : day(time);
}

/** Lines with labels at moments, as that of a new version. */
function drawMarks(plot: uPlot, marks: readonly Mark[], color: string) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  ctx.setLineDash([4, 4]);
  for (const { at, label } of marks) {
    const x = plot.valToPos(at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(label, x + 4, bbox.top + 12 * devicePixelRatio);
  }
  ctx.restore();
}

/** Colours by their tokens as the theme has them now: a canvas knows no custom properties. */
function colorsOf(element: HTMLElement): (token: string) => string {
  return (token) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${token})`;
    element.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}
