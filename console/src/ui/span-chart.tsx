import { type CSSProperties, type KeyboardEvent, type PointerEvent, useId, useRef, useState } from "react";
import styles from "./span-chart.module.css";

export interface Bar {
  /** It in words. */
  label: string;
  all: number;
  /** Of all. */
  failed: number;
}

interface SpanChartProps {
  /** What the bars are of: a span of something else ends. */
  of: string;
  label: string;
  /** How it is used by keyboard. */
  keys: string;
  bars: readonly Bar[];
  /** What stands below it, from its beginning to its end. */
  axis: readonly string[];
  /** Bars from the first to the last, in words. */
  describe: (first: number, last: number) => string;
  onChoose: (first: number, last: number) => void;
}

/** From where it was begun to where it is now, which may be before that. */
interface Span {
  of: string;
  begun: number;
  now: number;
}

/**
 * Bars over time, of which a span is chosen: by dragging, or with arrow keys, Shift and Enter.
 *
 * It has one tab stop; the bar that the keyboard is at is its active descendant.
 */
export function SpanChart({ of, label, keys, bars, axis, describe, onChoose }: SpanChartProps) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const isDragged = useRef(false);
  const [kept, setSpan] = useState<Span | null>(null);
  const span = kept?.of === of && Math.max(kept.begun, kept.now) < bars.length ? kept : null;
  const first = span ? Math.min(span.begun, span.now) : -1;
  const last = span ? Math.max(span.begun, span.now) : -1;
  const largest = Math.max(...bars.map(({ all }) => all), 1);
  const go = (target: number, isLonger: boolean) => {
    const now = Math.max(0, Math.min(target, bars.length - 1));
    setSpan({ of, begun: isLonger && span ? span.begun : now, now });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = span?.now ?? bars.length - 1;
    const moves: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      Home: 0,
      End: bars.length - 1,
    };
    const target = moves[event.key];
    if (target !== undefined) go(target, event.shiftKey);
    else if (span && (event.key === "Enter" || event.key === " ")) onChoose(first, last);
    else if (span && event.key === "Escape") setSpan(null);
    else return;
    event.preventDefault();
  };
  const barAt = ({ clientX }: PointerEvent) => {
    const { left, width } = (list.current as HTMLDivElement).getBoundingClientRect();
    return Math.floor(((clientX - left) / width) * bars.length);
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    isDragged.current = true;
    list.current?.setPointerCapture(event.pointerId);
    go(barAt(event), event.shiftKey);
  };
  const onPointerUp = (event: PointerEvent) => {
    if (!isDragged.current) return;
    isDragged.current = false;
    if (!span) return;
    const now = Math.max(0, Math.min(barAt(event), bars.length - 1)); // its last move may not be shown yet
    onChoose(Math.min(span.begun, now), Math.max(span.begun, now));
  };
  const onPointerCancel = () => {
    isDragged.current = false;
    setSpan(null);
  };
  return (
    <div className={styles.frame}>
      <p id={`${id}-keys`} className={styles.hidden}>
        {keys}
      </p>
      <div
        ref={list}
        role="listbox"
        tabIndex={0}
        aria-label={label}
        aria-describedby={`${id}-keys`}
        aria-orientation="horizontal"
        aria-multiselectable
        aria-activedescendant={span ? `${id}-${span.now}` : undefined}
        className={styles.bars}
        onKeyDown={onKeyDown}
        onFocus={(event) => {
          if (!span && event.currentTarget.matches(":focus-visible")) go(bars.length - 1, false);
        }}
        onPointerDown={onPointerDown}
        onPointerMove={(event) => isDragged.current && go(barAt(event), true)}
        onPointerUp={onPointerUp}
        onPointerCancel={onPointerCancel}
      >
        {bars.map((bar, at) => (
          <div
            key={bar.label}
            id={`${id}-${at}`}
            role="option"
            aria-label={bar.label}
            aria-selected={at >= first && at <= last && span !== null}
            data-active={at === span?.now || undefined}
            title={bar.label}
            className={styles.bar}
          >
            <div className={styles.good} style={height(bar.all - bar.failed, largest)} />
            {bar.failed ? <div className={styles.failed} style={height(bar.failed, largest)} /> : null}
          </div>
        ))}
      </div>
      <div className={styles.axis} aria-hidden>
        {axis.map((text, at) => (
          <span key={at}>{text}</span>
        ))}
      </div>
      <p className={styles.shown} aria-hidden={!span}>
        {span ? describe(first, last) : keys}
      </p>
    </div>
  );
}

function height(number: number, largest: number): CSSProperties {
  return { blockSize: `${(number / largest) * 100}%` };
}
