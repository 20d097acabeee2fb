//! Turns a WASI preview 1 command into a component: `adapt in.wasm out.wasm`.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> anyhow::Result<()> {
    let mut paths = std::env::args().skip(1);
    let (input, output) = (paths.next().unwrap_or_default(), paths.next().unwrap_or_default());
    let component = ComponentEncoder::default()
        .module(&std::fs::read(input)?)?
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        )?
        .validate(true)
        .encode()?;
    Ok(std::fs::write(output, component)?)
}
