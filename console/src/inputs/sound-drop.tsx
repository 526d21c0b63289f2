import { useState } from "react";
import { count } from "../formats/formats";
import { inputTexts } from "../strings/inputs";
import { Field } from "../ui/field";
import { Select } from "../ui/select";
import { FileDrop } from "./file-drop";
import styles from "./inputs.module.css";
import { DEFAULT_RATE, RATES, readSound } from "./sound";
import type { Tensor } from "./tensor";

interface SoundDropProps {
  name: string;
  tensor: Tensor;
  onSamples: (samples: number[]) => void;
  onProblem: (problem: string) => void;
}

/** Takes the samples of a sound file, at a rate that is chosen before. */
export function SoundDrop({ name, tensor, onSamples, onProblem }: SoundDropProps) {
  const [rate, setRate] = useState(String(DEFAULT_RATE));
  const open = (file: File) =>
    readSound(file, Number(rate), tensor).then(onSamples, (error: Error) => onProblem(error.message));
  return (
    <details>
      <summary>{inputTexts.sound.title}</summary>
      <div className={styles.tools}>
        <Field label={inputTexts.sound.rate}>
          <Select
            value={rate}
            options={RATES.map((one) => ({ value: String(one), label: inputTexts.sound.hertz(count(one)) }))}
            onChange={setRate}
          />
        </Field>
        <FileDrop
          label={inputTexts.sound.file(name)}
          choose={inputTexts.sound.choose}
          hint={inputTexts.sound.drop}
          accept="audio/*"
          onFile={open}
        />
      </div>
    </details>
  );
}
