import { useEffect, useRef } from "react";
import styles from "./pixels-view.module.css";

interface PixelsViewProps {
  label: string;
  width: number;
  height: number;
  /** Red, green, blue and opacity of each pixel. */
  pixels: Uint8ClampedArray<ArrayBuffer>;
}

/** A picture of which each pixel is shown as it is. */
export function PixelsView({ label, width, height, pixels }: PixelsViewProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    canvas.current?.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
  }, [pixels, width, height]);
  return (
    <canvas
      ref={canvas}
      width={width}
      height={height}
      role="img"
      aria-label={label}
      className={styles.pixels}
    />
  );
}
