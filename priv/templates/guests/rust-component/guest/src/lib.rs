//! A component with the functions of wit/world.wit.

wit_bindgen::generate!({ path: "wit", world: "guest" });

struct Guest;

impl exports::local::@name@::greetings::Guest for Guest {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Guest);
