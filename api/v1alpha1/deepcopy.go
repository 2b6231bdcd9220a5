package v1alpha1

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var (
	_ runtime.Object = (*Bottle)(nil)
	_ runtime.Object = (*BottleList)(nil)
)

// DeepCopyObject implements runtime.Object.
func (b *Bottle) DeepCopyObject() runtime.Object { return b.DeepCopy() }

// DeepCopy shares nothing with the original.
func (b *Bottle) DeepCopy() *Bottle {
	if b == nil {
		return nil
	}
	return &Bottle{
		TypeMeta:   b.TypeMeta,
		ObjectMeta: *b.ObjectMeta.DeepCopy(),
		Spec:       *b.Spec.DeepCopy(),
		Status:     *b.Status.DeepCopy(),
	}
}

// DeepCopyObject implements runtime.Object.
func (l *BottleList) DeepCopyObject() runtime.Object { return l.DeepCopy() }

// DeepCopy shares nothing with the original.
func (l *BottleList) DeepCopy() *BottleList {
	if l == nil {
		return nil
	}
	list := &BottleList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	if l.Items != nil {
		list.Items = make([]Bottle, 0, len(l.Items))
	}
	for i := range l.Items {
		list.Items = append(list.Items, *l.Items[i].DeepCopy())
	}
	return list
}

// DeepCopy shares nothing with the original.
func (s *BottleSpec) DeepCopy() *BottleSpec {
	spec := *s
	spec.Args = slices.Clone(s.Args)
	spec.ActiveDeadlineSeconds = clone(s.ActiveDeadlineSeconds)
	spec.IdleTimeoutSeconds = clone(s.IdleTimeoutSeconds)
	spec.TTLSecondsAfterFinished = clone(s.TTLSecondsAfterFinished)
	spec.Lease = clone(s.Lease)
	spec.Resources.Limits = maps.Clone(s.Resources.Limits)
	for name, quantity := range spec.Resources.Limits {
		spec.Resources.Limits[name] = quantity.DeepCopy()
	}
	return &spec
}

// DeepCopy shares nothing with the original.
func (s *BottleStatus) DeepCopy() *BottleStatus {
	status := *s
	if s.Conditions != nil {
		status.Conditions = make([]metav1.Condition, 0, len(s.Conditions))
	}
	for i := range s.Conditions {
		status.Conditions = append(status.Conditions, *s.Conditions[i].DeepCopy())
	}
	status.ExitCode = clone(s.ExitCode)
	status.StartTime, status.FinishTime = s.StartTime.DeepCopy(), s.FinishTime.DeepCopy()
	status.Egress = clone(s.Egress)
	status.UnsavedWork = clone(s.UnsavedWork)
	if s.UnsavedWork != nil {
		status.UnsavedWork.Refs = slices.Clone(s.UnsavedWork.Refs)
	}
	return &status
}

// clone copies what a pointer leads to, when nothing in it leads further.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	value := *p
	return &value
}
