import type { FieldProps } from "@rjsf/utils";
import { Plus, X } from "lucide-react";
import { editorTexts } from "../../../strings/editor";
import { Button, IconButton } from "../../../ui/button";
import { TextInput } from "../../../ui/field";
import fieldStyles from "../../../ui/field.module.css";
import { descriptionId } from "./described";
import { ExpressionInput } from "./expression-input";
import styles from "./form.module.css";

interface Case {
  name: string;
  when: string;
}

interface CaseErrors {
  name?: { __errors?: string[] };
  when?: { __errors?: string[] };
}

/** The cases of a branch, in the order in which they are tried. */
export function CasesField({ fieldPathId, formData, schema, errorSchema, onChange }: FieldProps) {
  const cases: readonly Case[] = Array.isArray(formData) ? formData : [];
  const errors = errorSchema as Record<number, CaseErrors> | undefined;
  const { $id, path } = fieldPathId;
  const set = (at: number, members: Partial<Case>) =>
    onChange(
      cases.map((each, index) => (index === at ? { ...each, ...members } : each)),
      path,
    );
  return (
    <fieldset
      id={$id}
      aria-label={schema.title}
      aria-describedby={descriptionId($id)}
      className={styles.form}
    >
      {cases.map(({ name = "", when = "" }, at) => {
        const { name: ofName, when: ofWhen } = errors?.[at] ?? {};
        return (
          <div key={at} className={styles.row}>
            <TextInput
              aria-label={editorTexts.panel.caseName(at + 1)}
              value={name}
              onValueChange={(text) => set(at, { name: text })}
            />
            <ExpressionInput
              id={`${$id}-${at}`}
              label={editorTexts.panel.caseWhen(at + 1)}
              value={when}
              kind="expression"
              isInvalid={Boolean(ofWhen?.__errors?.length)}
              onChange={(text) => set(at, { when: text })}
            />
            <IconButton
              label={editorTexts.panel.removeCase(name)}
              onClick={() => onChange(cases.toSpliced(at, 1), path)}
            >
              <X size={14} aria-hidden />
            </IconButton>
            <div id={descriptionId(`${$id}-${at}`)} className={styles.rowError}>
              {[...(ofName?.__errors ?? []), ...(ofWhen?.__errors ?? [])].map((error) => (
                <span key={error} className={fieldStyles.error}>
                  {error}
                </span>
              ))}
            </div>
          </div>
        );
      })}
      <Button
        look="quiet"
        onClick={() => onChange([...cases, { name: `case${cases.length + 1}`, when: "true" }], path)}
      >
        <Plus size={14} aria-hidden />
        {editorTexts.panel.addCase}
      </Button>
    </fieldset>
  );
}
