import { createLink } from "@tanstack/react-router";
import { type ComponentProps, useId } from "react";
import styles from "./button.module.css";

type Look = "primary" | "plain" | "quiet" | "danger";

interface ButtonProps extends ComponentProps<"button"> {
  look?: Look;
}

export function Button({ look = "plain", className = "", type = "button", ...rest }: ButtonProps) {
  return <button type={type} className={`${styles.button} ${styles[look]} ${className}`} {...rest} />;
}

function Anchor({ look = "plain", className = "", ...rest }: ComponentProps<"a"> & { look?: Look }) {
  return <a className={`${styles.button} ${styles[look]} ${className}`} {...rest} />;
}

interface GuardedButtonProps extends ButtonProps {
  /** Why it cannot be pressed; null: it can. */
  reason: string | null;
}

/** A button that stays visible to those who may not press it, with the reason. */
export function GuardedButton({ reason, onClick, ...rest }: GuardedButtonProps) {
  const id = useId();
  if (reason === null) return <Button onClick={onClick} {...rest} />;
  return (
    <>
      <Button aria-disabled aria-describedby={id} title={reason} {...rest} />
      <span id={id} hidden>
        {reason}
      </span>
    </>
  );
}

/** A link that looks like a button. */
export const ButtonLink = createLink(Anchor);

/** A link to a file, which the browser stores. */
export function DownloadLink(props: ComponentProps<"a">) {
  return <Anchor download {...props} />;
}

/** A button with an icon only; `label` names it. */
export function IconButton({ label, className = "", ...rest }: ComponentProps<"button"> & { label: string }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`${styles.button} ${styles.quiet} ${styles.icon} ${className}`}
      {...rest}
    />
  );
}
