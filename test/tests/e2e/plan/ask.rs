//! Asking `remapctl`.

use anyhow::{Context as _, Result, anyhow, ensure};
use remap_test::exec::Output;
use remap_test::{Ctr, schema};
use serde_json::Value;

/// `remapctl plan` on the host of `ctr`, in the namespace `default`.
pub(super) fn plan(ctr: &Ctr, id: &str, options: &[&str]) -> Result<Output> {
    let command = ctr.host().command("remapctl").arg("plan");
    command.args(options).arg(id).run()
}

/// The exit code must be `code`, and what is printed must have these `parts`, whatever its lines.
pub(super) fn expect(output: &Output, code: i32, parts: &[&str]) -> Result<()> {
    let text = format!("{}\n{}", output.text(), output.error_text());
    ensure!(output.exit_code() == code, "not {code}: {output:?}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        ensure!(
            words(&text).contains(&words(part)),
            "no {part:?} in\n{text}"
        );
    }
    Ok(())
}

/// The JSON document, held against the schema that the same program prints.
pub(super) fn json(ctr: &Ctr, id: &str, options: &[&str], code: i32) -> Result<Value> {
    let schema = ctr.host().command("remapctl").args(["plan", "--schema"]);
    let schema: Value = serde_json::from_slice(&schema.check()?.stdout)?;
    let options = [&["--json"], options].concat();
    let output = plan(ctr, id, &options)?;
    expect(&output, code, &[])?;
    let document = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no JSON document: {output:?}"))?;
    schema::check_own(&schema, &document).map_err(|wrong| anyhow!(wrong))?;
    Ok(document)
}
