import type { UseQueryResult } from "@tanstack/react-query";
import { Check } from "lucide-react";
import { deploymentTexts } from "../../strings/deployments";
import { ErrorNotice, Notice } from "../../ui/notice";
import type { DeploymentPlan } from "./deploy";
import styles from "./deployment.module.css";

interface PlanSummaryProps {
  plan: UseQueryResult<DeploymentPlan>;
  /** A field says why there is no plan. */
  isTold: boolean;
}

/** Whether it can be deployed, whether in mode fast, and what calls may meet. */
export function PlanSummary({ plan: { data: plan, error, refetch }, isTold }: PlanSummaryProps) {
  if (error && isTold) return <p className={styles.hint}>{deploymentTexts.deploy.seeField}</p>;
  if (error) return <ErrorNotice error={error} retry={() => void refetch()} />;
  if (!plan) return <p className={styles.hint}>{deploymentTexts.deploy.checking}</p>;
  const errors = plan.checks.filter(({ result }) => result === "error");
  if (errors.length)
    return (
      <Notice kind="bad" title={deploymentTexts.deploy.notPossible}>
        {errors.map(({ code, message }) => (
          <p key={code}>{message}</p>
        ))}
      </Notice>
    );
  const server = plan.checks.find(({ code, result }) => code === "server" && result === "warning");
  return (
    <>
      <p className={styles.possible}>
        <Check size={16} aria-hidden />
        {plan.fast.possible
          ? deploymentTexts.deploy.possible
          : deploymentTexts.deploy.possibleNotFast(plan.fast.reason ?? "")}
      </p>
      {server ? (
        <Notice kind="warn">
          <p>{server.message}</p>
        </Notice>
      ) : null}
    </>
  );
}
