import { Link } from "@tanstack/react-router";
import { FileUp, Flower2, Workflow } from "lucide-react";
import type { ReactNode } from "react";
import { hooks } from "../../api/client";
import { firstStepTexts } from "../../strings/first-steps";
import { ButtonLink } from "../../ui/button";
import { Page } from "../../ui/page";
import styles from "./welcome.module.css";

export function WelcomeScreen() {
  const models = hooks.useQuery("get", "/node/models/");
  const flows = hooks.useQuery("get", "/node/flows/");
  const model = models.data?.items[0];
  const flow = flows.data?.items.at(-1); // the first one that was made: the demo, at a first start
  return (
    <Page title={firstStepTexts.welcome.title}>
      <p className={styles.lead}>{firstStepTexts.welcome.lead}</p>
      <ul className={styles.cards}>
        <Card
          icon={<FileUp size={20} aria-hidden />}
          title={firstStepTexts.welcome.upload}
          text={firstStepTexts.welcome.uploadText}
          action={
            <ButtonLink to="/flows/new" search={{ from: "upload" }} look={model ? "plain" : "primary"}>
              {firstStepTexts.welcome.uploadAction}
            </ButtonLink>
          }
        />
        {model ? (
          <Card
            icon={<Flower2 size={20} aria-hidden />}
            title={firstStepTexts.welcome.model(model.name)}
            text={firstStepTexts.welcome.modelText}
            action={
              <ButtonLink to="/flows/new" search={{ model: model.name }} look="primary">
                {firstStepTexts.welcome.modelAction}
              </ButtonLink>
            }
          />
        ) : null}
        {flow ? (
          <Card
            icon={<Workflow size={20} aria-hidden />}
            title={firstStepTexts.welcome.demo}
            text={firstStepTexts.welcome.demoText(flow.name)}
            action={
              <ButtonLink to="/flows/$flowId/edit" params={{ flowId: flow.id }}>
                {firstStepTexts.welcome.demoAction}
              </ButtonLink>
            }
          />
        ) : null}
      </ul>
      <p>
        <Link to="/flows">{firstStepTexts.welcome.skip}</Link>
      </p>
    </Page>
  );
}

function Card({
  icon,
  title,
  text,
  action,
}: {
  icon: ReactNode;
  title: string;
  text: string;
  action: ReactNode;
}) {
  return (
    <li className={styles.card}>
      <span className={styles.icon}>{icon}</span>
      <h2>{title}</h2>
      <p>{text}</p>
      {action}
    </li>
  );
}
