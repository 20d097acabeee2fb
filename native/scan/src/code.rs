//! Bodies of functions: their sizes and their locals. Instructions are not read.

use crate::Limit;
use crate::module::Module;
use crate::reader::{Read, Reader};
use crate::tally::Tally;
use crate::types::value;

pub fn bodies(section: &mut Reader, tally: &mut Tally, module: &Module) -> Read<()> {
    for _ in 0..section.u32()? {
        let at = section.at();
        let size = section.u32()?.into();
        tally.check(Limit::FunctionSize, size, at)?;
        // A call or a branch of two bytes moves all values of its type.
        let work = size.saturating_mul(module.widest.max(1));
        tally.check(Limit::FunctionWork, work, at)?;
        locals(&mut section.take(size)?, tally)?;
    }
    Ok(())
}

fn locals(body: &mut Reader, tally: &mut Tally) -> Read<()> {
    for _ in 0..body.u32()? {
        let at = body.at();
        tally.add(Limit::Locals, body.u32()?.into(), at)?;
        value(body)?;
    }
    Ok(())
}
