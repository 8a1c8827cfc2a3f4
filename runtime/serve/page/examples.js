/** Prompts to begin with: some of those that the default bundle was trained to draw. */

export const EXAMPLES = [
  "two yellow circles",
  "a purple cross above an orange square on a dotted grey background",
  "three orange stars on a striped black background",
  "a large yellow square right of a red star on a dotted white background",
  "the word hello in cyan letters",
];
