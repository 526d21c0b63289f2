import { lazy, Suspense, useState } from "react";
import fieldStyles from "../../../ui/field.module.css";
import { useEditor } from "../editor-context";
import { descriptionId } from "./described";
import { ExpressionValue } from "./expression-value";
import styles from "./form.module.css";
import { type ExpressionKind, useSamples } from "./samples";

const CodeEditor = lazy(() => import("./code-editor").then(({ CodeEditor }) => ({ default: CodeEditor })));

interface ExpressionInputProps {
  id: string;
  value: string;
  onChange: (value: string) => void;
  label: string;
  kind: ExpressionKind;
  isInvalid?: boolean;
}

/** An expression or template with completion; below it the value that it has with the test data. */
export function ExpressionInput(props: ExpressionInputProps) {
  const { id, value, onChange, label, kind, isInvalid = false } = props;
  const [isActive, setActive] = useState(false);
  const samples = useSamples();
  const { isReadOnly } = useEditor().session;
  const shared = {
    id,
    value,
    "aria-label": label,
    "aria-invalid": isInvalid,
    "aria-describedby": descriptionId(id),
  };
  return (
    <div className={styles.expression}>
      <Suspense
        // Not to be typed into: what has the focus would be replaced.
        fallback={
          <output className={`${fieldStyles.input} ${styles.code}`} aria-busy>
            {value}
          </output>
        }
      >
        <CodeEditor
          {...shared}
          samples={samples}
          isReadOnly={isReadOnly}
          onChange={onChange}
          onFocus={() => setActive(true)}
        />
      </Suspense>
      {isActive && value.trim() !== "" ? (
        <ExpressionValue expression={value} kind={kind} samples={samples} />
      ) : null}
    </div>
  );
}
