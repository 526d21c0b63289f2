import { useRef, useState } from "react";
import { bytes } from "../formats/formats";
import type { Json } from "../formats/lossless-json";
import { figures } from "../formats/number-array";
import { inputTexts } from "../strings/inputs";
import { Field, TextInput } from "../ui/field";
import { PixelsView } from "../ui/pixels-view";
import { Select } from "../ui/select";
import { Table } from "../ui/table";
import { FileDrop } from "./file-drop";
import styles from "./inputs.module.css";
import { NumberArrayField } from "./number-array-field";
import { pixelsOf } from "./picture";
import {
  bodyBytesOf,
  FITS,
  LAYOUTS,
  namesOf,
  ORDERS,
  type Preparation,
  prepared,
  SCALES,
  type Seen,
} from "./pixels";
import type { Frame } from "./schema";
import type { Tensor } from "./tensor";

const DEFAULT_SIDE = 224;
const MAX_SIDE = 2048;
/** Of ImageNet, by which most pretrained models expect their pictures. */
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

interface ImageFieldProps {
  name: string;
  tensor: Tensor;
  frame: Frame;
  value: Json | undefined;
  onChange: (value: Json) => void;
  limit: number;
}

interface Shown extends Seen {
  width: number;
  height: number;
}

/** A tensor that may be a picture: made of a file, and shown as the model sees it. */
export function ImageField({ name, tensor, frame, value, onChange, limit }: ImageFieldProps) {
  const [how, setHow] = useState(() => preparationOf(frame, tensor));
  const [file, setFile] = useState<File | null>(null);
  const [seen, setSeen] = useState<Shown | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const last = useRef(0);
  const prepare = async (picture: File | null, preparation: Preparation) => {
    setHow(preparation);
    setFile(picture);
    if (!picture) return;
    const size = bodyBytesOf(preparation);
    if (size > limit) return setProblem(inputTexts.image.tooLarge(bytes(size), bytes(limit)));
    last.current += 1;
    const mine = last.current;
    try {
      const found = await prepared(await pixelsOf(picture, preparation), preparation);
      if (mine !== last.current) return; // a later choice is being prepared
      setProblem(null);
      setSeen({ ...found, width: preparation.width, height: preparation.height });
      onChange(found.value);
    } catch {
      setProblem(inputTexts.image.unreadable(picture.name));
    }
  };
  const isSeen = seen !== null && seen.value === value;
  return (
    <NumberArrayField name={name} tensor={tensor} value={value} onChange={onChange} limit={limit}>
      <FileDrop
        label={inputTexts.image.file(name)}
        choose={inputTexts.image.choose}
        hint={file ? `${file.name} · ${bytes(file.size)}` : inputTexts.image.drop}
        accept="image/*"
        onFile={(picture) => prepare(picture, how)}
      />
      {file ? <Choices frame={frame} how={how} onChange={(changed) => prepare(file, changed)} /> : null}
      {problem === null ? null : (
        <p role="alert" className={styles.error}>
          {problem}
        </p>
      )}
      {isSeen ? (
        <section className={styles.seen} aria-label={inputTexts.image.seen}>
          <PixelsView
            label={inputTexts.image.picture(name)}
            width={seen.width}
            height={seen.height}
            pixels={seen.picture}
          />
          <Table
            label={inputTexts.image.seen}
            rows={seen.channels}
            keyOf={(channel) => channel.name}
            columns={[
              { title: inputTexts.image.channel, cell: (channel) => channel.name },
              { title: inputTexts.image.min, cell: ({ min }) => figures(min) },
              { title: inputTexts.image.average, cell: ({ mean }) => figures(mean) },
              { title: inputTexts.image.max, cell: ({ max }) => figures(max) },
            ]}
          />
        </section>
      ) : null}
    </NumberArrayField>
  );
}

interface ChoicesProps {
  frame: Frame;
  how: Preparation;
  onChange: (how: Preparation) => void;
}

function Choices({ frame, how, onChange }: ChoicesProps) {
  const set = (members: Partial<Preparation>) => onChange({ ...how, ...members });
  const options = <Value extends string>(values: readonly Value[], labels?: Record<Value, string>) =>
    values.map((value) => ({ value, label: labels?.[value] ?? value }));
  const isColoured = how.channels > 1;
  return (
    <div className={styles.choices}>
      {frame.width === null ? (
        <Side label={inputTexts.image.width} value={how.width} onChange={(width) => set({ width })} />
      ) : null}
      {frame.height === null ? (
        <Side label={inputTexts.image.height} value={how.height} onChange={(height) => set({ height })} />
      ) : null}
      <Field label={inputTexts.image.fit}>
        <Select
          value={how.fit}
          options={options(FITS, inputTexts.image.fits)}
          onChange={(fit) => set({ fit })}
        />
      </Field>
      {isColoured ? (
        <Field label={inputTexts.image.order}>
          <Select value={how.order} options={options(ORDERS)} onChange={(order) => set({ order })} />
        </Field>
      ) : null}
      <Field label={inputTexts.image.layout}>
        <Select value={how.layout} options={options(LAYOUTS)} onChange={(layout) => set({ layout })} />
      </Field>
      <Field label={inputTexts.image.scale}>
        <Select
          value={how.scale}
          options={options(SCALES, inputTexts.image.scales)}
          onChange={(scale) => set({ scale })}
        />
      </Field>
      {how.scale === "standard" ? (
        <>
          <Numbers label={inputTexts.image.mean} value={how.mean} onChange={(mean) => set({ mean })} />
          <Numbers
            label={inputTexts.image.deviation}
            value={how.deviation}
            onChange={(deviation) => set({ deviation })}
          />
        </>
      ) : null}
    </div>
  );
}

interface SideProps {
  label: string;
  value: number;
  onChange: (value: number) => void;
}

function Side({ label, value, onChange }: SideProps) {
  const [text, setText] = useState(String(value));
  const isRight = (typed: string) => /^\d+$/.test(typed) && Number(typed) >= 1 && Number(typed) <= MAX_SIDE;
  const change = (typed: string) => {
    setText(typed);
    if (isRight(typed)) onChange(Number(typed));
  };
  return (
    <Field label={label} error={isRight(text) ? undefined : inputTexts.image.side(MAX_SIDE)}>
      <TextInput value={text} inputMode="numeric" onValueChange={change} />
    </Field>
  );
}

interface NumbersProps {
  label: string;
  value: readonly number[];
  onChange: (value: number[]) => void;
}

/** One number for each channel. */
function Numbers({ label, value, onChange }: NumbersProps) {
  const [text, setText] = useState(value.join(", "));
  const parsed = (typed: string) =>
    typed.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  const isRight = (numbers: readonly number[]) =>
    numbers.length === value.length && numbers.every((number) => number >= 0);
  const change = (typed: string) => {
    setText(typed);
    const numbers = parsed(typed);
    if (isRight(numbers)) onChange(numbers);
  };
  return (
    <Field label={label} error={isRight(parsed(text)) ? undefined : inputTexts.image.numbers}>
      <TextInput value={text} inputMode="decimal" onValueChange={change} />
    </Field>
  );
}

function preparationOf(frame: Frame, { datatype }: Tensor): Preparation {
  const { rank, layout, channels, width, height } = frame;
  const isInteger = /^U?INT/.test(datatype ?? "");
  const how: Preparation = {
    width: width ?? DEFAULT_SIDE,
    height: height ?? DEFAULT_SIDE,
    fit: "cover",
    layout,
    order: "RGB",
    channels,
    scale: isInteger ? "0-255" : "0-1",
    mean: [],
    deviation: [],
    rank,
  };
  const count = namesOf(how).length;
  const first = (numbers: readonly number[], other: number) =>
    Array.from({ length: count }, (_, at) => (count === 1 ? numbers[0] : numbers[at]) ?? other);
  return { ...how, mean: first(MEAN, 0), deviation: first(DEVIATION, 1) };
}
