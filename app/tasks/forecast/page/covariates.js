// What a model reads besides the series: columns of the table with the names that it knows.

const KINDS = [["future", "known ahead"], ["past", "known up to now"], ["static", "never changing"]];

/**
 * Of a model as `GET /models/NAME` tells it.
 *
 * @returns {{parameters: Object<string, string>, words: string}} the parameters of a request that name the columns, and what to say;
 *   both empty for a model that reads the series alone
 */
export function covariatesOf(model) {
  const parameters = {};
  const words = [];
  const known = model?.inputs.covariates ?? {};
  for (const [kind, meaning] of KINDS) {
    const names = Array.isArray(known[kind]) ? known[kind] : Object.keys(known[kind] ?? {});
    if (!names.length) continue;
    parameters[kind] = names.join(",");
    words.push(`${names.join(", ")} (${meaning})`);
  }
  const columns = words.length ? `It reads columns of these names: ${words.join("; ")}.` : "";
  const days = known.holidays ? `It knows the holidays of ${known.holidays}: the table needs times.` : "";
  return { parameters, words: [columns, days].filter(Boolean).join(" ") };
}

/** Parameters and covariates as the query of an address; empty without any. */
export function query(parameters, covariates) {
  for (const [kind, names] of Object.entries(covariates)) parameters.set(kind, names);
  const text = String(parameters).replaceAll("%40", "@").replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}
