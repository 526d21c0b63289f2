import { useState } from "react";
import { bytes } from "../formats/formats";
import { inputTexts } from "../strings/inputs";
import { FileDrop } from "./file-drop";
import styles from "./inputs.module.css";

interface FileFieldProps {
  name: string;
  /** Of the media, such as `image/*`. */
  type: string;
  /** Base64. */
  value: string;
  onChange: (value: string) => void;
  limit: number;
}

/** Base64 makes four characters of three bytes. */
const GROWTH = 4 / 3;

/** A file that is sent as base64. */
export function FileField({ name, type, value, onChange, limit }: FileFieldProps) {
  const [chosen, setChosen] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const take = async (file: File) => {
    if (file.size * GROWTH > limit)
      return setProblem(inputTexts.file.tooLarge(bytes(file.size), bytes(Math.floor(limit / GROWTH))));
    setProblem(null);
    setChosen(file.name);
    onChange(await base64Of(file));
  };
  const held = Math.floor(value.length / GROWTH);
  return (
    <fieldset className={styles.array}>
      <legend className={styles.legend}>{name}</legend>
      <FileDrop
        label={inputTexts.file.file(name)}
        choose={inputTexts.file.choose}
        hint={inputTexts.file.drop}
        accept={type}
        onFile={take}
      />
      <p className={styles.summary}>
        {value === ""
          ? inputTexts.file.none
          : [chosen, inputTexts.file.held(bytes(held))].filter(Boolean).join(" · ")}
      </p>
      {problem === null ? null : (
        <p role="alert" className={styles.error}>
          {problem}
        </p>
      )}
    </fieldset>
  );
}

/** Return the content of a file as base64, which the browser makes while the page goes on. */
function base64Of(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
