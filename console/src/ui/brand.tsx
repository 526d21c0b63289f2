import icon from "../icon.svg";
import { t } from "../strings";
import styles from "./brand.module.css";

export function Brand() {
  return (
    <span className={styles.brand}>
      <img src={icon} alt="" width={20} height={20} />
      {t.common.product}
    </span>
  );
}
