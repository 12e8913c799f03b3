// The command that does the same from a shell.

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** As curl, reading the file that was chosen. */
export function curlLine(path, series) {
  const url = quote(`${new URL(path.slice(1), document.baseURI)}`);
  const file = series.name === "pasted rows" ? "rows.csv" : series.name;
  const safe = /^[\w.-]+$/.test(file) ? file : quote(file);
  const request = (source) => [`curl -s ${url}`, "-H 'content-type: text/csv'", `--data-binary ${source}`];
  if (series.encoding === null) return request(`@${safe}`).join(" \\\n  ");
  return [`iconv -f ${series.encoding} -t UTF-8 ${safe} |`, request("@-").join(" \\\n    ")].join("\n  ");
}
