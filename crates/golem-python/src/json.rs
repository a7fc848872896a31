//! JSON and Python's own values.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// Deeper than this no value is written.
const DEEPEST: usize = 120;

/// A value of Python as JSON.
///
/// **Errors**: `TypeError` that names the place of what has no form in JSON.
pub(crate) fn value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    written(object, &Place::Top, 0)
}

/// The place of a value in another one.
enum Place<'a> {
    Top,
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn words(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Key(outer, key) => format!("{}[{key:?}]", outer.words()),
            Self::Item(outer, item) => format!("{}[{item}]", outer.words()),
        }
    }
}

fn written(object: &Bound<'_, PyAny>, place: &Place<'_>, depth: usize) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::String(text.to_cow()?.into_owned()));
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        if let Ok(number) = object.extract::<i64>() {
            return Ok(Value::from(number));
        }
        return object.extract::<u64>().map(Value::from).map_err(|_| {
            wrong(place, "is a whole number of more than 64 bits, which JSON can't keep; write it as a text")
        });
    }
    if object.is_instance_of::<PyFloat>() {
        let number = object.extract::<f64>()?;
        return Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| wrong(place, &format!("is {number}, which JSON can't keep")));
    }
    if depth >= DEEPEST {
        return Err(PyValueError::new_err(format!(
            "A value is nested deeper than {DEEPEST} levels, or contains itself; JSON can't keep it."
        )));
    }
    if let Ok(items) = object.cast::<PyDict>() {
        let mut map = Map::new();
        for (key, item) in items.iter() {
            let Ok(key) = key.cast::<PyString>() else {
                let kind = key.get_type().name()?.to_string();
                return Err(wrong(place, &format!("has a key of the type {kind}; JSON's keys are texts")));
            };
            let key = key.to_cow()?;
            map.insert(key.clone().into_owned(), written(&item, &Place::Key(place, &key), depth + 1)?);
        }
        return Ok(Value::Object(map));
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let mut list = Vec::with_capacity(object.len()?);
        for (at, item) in object.try_iter()?.enumerate() {
            list.push(written(&item?, &Place::Item(place, at), depth + 1)?);
        }
        return Ok(Value::Array(list));
    }
    let kind = object.get_type().name()?.to_string();
    Err(wrong(
        place,
        &format!(
            "is of the type {kind}, which JSON can't keep; use None, bool, int, float, str, list, tuple or dict"
        ),
    ))
}

fn wrong(place: &Place<'_>, problem: &str) -> PyErr {
    PyTypeError::new_err(format!("The value{} {problem}.", place.words()))
}

/// JSON as a value of Python.
pub(crate) fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                number.into_pyobject(py)?.into_any()
            } else if let Some(number) = number.as_u64() {
                number.into_pyobject(py)?.into_any()
            } else {
                PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any()
            }
        }
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(object(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(items) => {
            let dict = PyDict::new(py);
            for (key, item) in items {
                dict.set_item(key, object(py, item)?)?;
            }
            dict.into_any()
        }
    })
}

/// Anything that has a form in JSON as a value of Python; `None` for what has none.
pub(crate) fn of<'py>(py: Python<'py>, what: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    object(py, &serde_json::to_value(what).unwrap_or_default())
}
