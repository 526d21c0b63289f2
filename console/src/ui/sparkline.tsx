import styles from "./sparkline.module.css";

const BAR = 4;
const HEIGHT = 20;

interface SparklineProps {
  /** It in words. */
  label: string;
  values: readonly number[];
}

/** Small bars, relative to the highest. */
export function Sparkline({ label, values }: SparklineProps) {
  const highest = Math.max(...values, 1);
  const width = values.length * BAR;
  return (
    <svg
      role="img"
      aria-label={label}
      width={width}
      height={HEIGHT}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      className={styles.line}
    >
      {values.map((value, at) => {
        const height = value ? Math.max((value / highest) * HEIGHT, 1) : 0;
        return <rect key={at} x={at * BAR} y={HEIGHT - height} width={BAR - 1} height={height} />;
      })}
    </svg>
  );
}
