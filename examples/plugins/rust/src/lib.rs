//! The talk's plug-in, with the public kit: counts vowels, asks a host function, and fetches a configured address.

use extism_pdk::*;
use serde::Serialize;

#[derive(Serialize)]
struct Vowels {
    count: usize,
    total: usize,
    vowels: String,
}

/// Which letters are vowels is configured; how many there were in all calls is a variable.
#[plugin_fn]
pub fn count_vowels(text: String) -> FnResult<Json<Vowels>> {
    let vowels = config::get("vowels")?.unwrap_or_else(|| "aeiouAEIOU".into());
    let count = text.chars().filter(|letter| vowels.contains(*letter)).count();
    let total = var::get::<String>("total")?.map_or(0, |total| total.parse().unwrap_or(0)) + count;
    var::set("total", total.to_string())?;
    Ok(Json(Vowels { count, total, vowels }))
}

#[host_fn]
extern "ExtismHost" {
    fn kv_read(key: String) -> Vec<u8>;
}

/// What the application's store has under a key.
#[plugin_fn]
pub fn lookup(key: String) -> FnResult<Vec<u8>> {
    let value = unsafe { kv_read(key.clone())? };
    if value.is_empty() {
        return Err(WithReturnCode::new(Error::msg(format!("there is no {key}")), 2));
    }
    Ok(value)
}

/// The body of the address that the host configured as `route`.
#[plugin_fn]
pub fn fetch(_: ()) -> FnResult<Vec<u8>> {
    let route = config::get("route")?.ok_or(Error::msg("no route is configured"))?;
    info!("fetching {}", route);
    let response = http::request::<()>(&HttpRequest::new(route), None)?;
    Ok(response.body())
}
