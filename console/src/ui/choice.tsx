import { Checkbox as BaseCheckbox } from "@base-ui/react/checkbox";
import { Radio } from "@base-ui/react/radio";
import { RadioGroup } from "@base-ui/react/radio-group";
import { Check } from "lucide-react";
import { type ReactNode, useId } from "react";
import styles from "./choice.module.css";

export interface Option<Value extends string> {
  value: Value;
  label: string;
  hint?: string | undefined;
  disabled?: boolean;
}

interface ChoiceProps<Value extends string> {
  label: string;
  options: readonly Option<Value>[];
  value: Value | null;
  onChange: (value: Value) => void;
  columns?: boolean;
}

/** One of a few options, each with what it means. */
export function Choice<Value extends string>(props: ChoiceProps<Value>) {
  const label = useId();
  return (
    <div className={styles.group}>
      <span id={label} className={styles.legend}>
        {props.label}
      </span>
      <RadioGroup
        aria-labelledby={label}
        value={props.value}
        onValueChange={(value) => props.onChange(value as Value)}
        className={props.columns ? `${styles.options} ${styles.columns}` : styles.options}
      >
        {props.options.map((option) => (
          <OptionRow key={option.value} option={option} />
        ))}
      </RadioGroup>
    </div>
  );
}

function OptionRow<Value extends string>({ option }: { option: Option<Value> }) {
  const id = useId();
  const disabled = option.disabled ?? false;
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: Radio.Root is the control, and renders its input
    <label className={styles.option} data-disabled={disabled || undefined}>
      <Radio.Root
        value={option.value}
        disabled={disabled}
        className={styles.radio}
        aria-describedby={option.hint ? id : undefined}
      >
        <Radio.Indicator className={styles.dot} />
      </Radio.Root>
      <span>
        <span className={styles.name}>{option.label}</span>
        {option.hint ? (
          <span id={id} className={styles.hint}>
            {option.hint}
          </span>
        ) : null}
      </span>
    </label>
  );
}

interface CheckboxProps {
  label: ReactNode;
  checked: boolean;
  onChange: (checked: boolean) => void;
  /** Why it cannot be changed. */
  reason?: string | undefined;
}

export function Checkbox({ label, checked, onChange, reason }: CheckboxProps) {
  const id = useId();
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: Checkbox.Root is the control, and renders its input
    <label className={styles.tick}>
      <BaseCheckbox.Root
        checked={checked}
        onCheckedChange={onChange}
        className={styles.box}
        disabled={reason !== undefined}
        aria-describedby={reason === undefined ? undefined : id}
      >
        <BaseCheckbox.Indicator className={styles.mark}>
          <Check size={14} aria-hidden />
        </BaseCheckbox.Indicator>
      </BaseCheckbox.Root>
      <span>
        {label}
        {reason === undefined ? null : (
          <span id={id} className={styles.hint}>
            {reason}
          </span>
        )}
      </span>
    </label>
  );
}
