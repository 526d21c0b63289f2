import type { Reporter, TestModule } from "vitest/node";

/** List the tests that failed and then passed: CONTRIBUTING.md says what is done about them. */
export function unstableTests(): Reporter {
  return {
    onTestRunEnd(modules: readonly TestModule[]) {
      for (const module of modules) {
        for (const test of module.children.allTests("passed")) {
          if (!test.diagnostic()?.flaky) continue;
          process.stdout.write(`unstable: ${module.relativeModuleId} > ${test.fullName}\n`);
        }
      }
    },
  };
}
